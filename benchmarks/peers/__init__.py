"""Other ways to hand mail over and have it delivered durably, measured beside the proxy."""
