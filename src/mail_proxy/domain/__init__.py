"""What mail means here: frozen values and pure rules, on the standard library alone."""
