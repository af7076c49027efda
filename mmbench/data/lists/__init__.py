"""Lists of images in text files: any encoding, any form of name."""
