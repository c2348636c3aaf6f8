"""Training: labelled rows to a calibrated candidate, judged on weeks that it has not seen."""
