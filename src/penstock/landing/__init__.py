"""Landing: files under a contract become typed rows, refused rows with reasons, and counts."""
