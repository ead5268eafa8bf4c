"""`cv2290`: facts enter, signed XML leaves, as Công văn 2290/BTTTT-CATTT (17/7/2018) asks of antivirus products.

Its annex could not be read; what is written here is what a public, working client sends. Names, prefix and namespace
are the profile's. `envelope.py` writes, `signing.py` signs and verifies, `reading.py` reads what others sent,
`schema.xsd` is a schema of ours for both.
"""
