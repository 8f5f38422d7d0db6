"""The commands, one module per noun; ``cli.main`` lists them."""
