//! OAuth2 tokens: from a file that somebody keeps fresh, or by a call that is made again before they expire.
