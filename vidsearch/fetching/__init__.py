"""Published files from their hosts → a local folder of verified files. No torch."""
