"""Read any checkpoint into a Backbone; write a Backbone for another library; prove that nothing changed."""
