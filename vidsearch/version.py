"""The version of this program, in a module that imports nothing: a model's export names it too."""

VERSION = "0.2.0.dev0"
