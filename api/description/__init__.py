"""The OpenAPI document, made from the very types that the routes read and write."""
