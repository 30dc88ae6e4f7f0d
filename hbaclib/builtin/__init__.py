"""The model that the package ships: what it is trained on, how it is made, judged and described.

``synthetic/`` holds the model itself, an output folder like any other; this room makes it, and nothing needs it to
predict.
"""
