"""The explorer's version, which stands in every figure it makes."""

VERSION = "0.3.0"
