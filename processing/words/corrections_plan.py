"""What corrected words are made by: version and inputs. Pure, no media library.

Belongs here: those names, and the states of review. Does not belong here: what corrections do (corrections), writing
them (corrected).
"""

CODE_VERSION = "1"  # raised when the same corrections would give another document
UNREVIEWED, ACCEPTED, CORRECTED = "unreviewed", "accepted", "corrected"  # the fact `review`: who looked at it
UNCORRECTED = "uncorrected"  # the input that is what the machine made
