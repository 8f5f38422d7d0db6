"""Optional capabilities, one folder each; ``registry`` lists them."""
