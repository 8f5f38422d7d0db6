"""Delivery reports to the tenants' applications."""
