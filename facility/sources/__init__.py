"""sources.yaml: what instruments and gateways send that do not speak Renrum's own wire format.

`source_file` reads the document; each kind of source has a file: `json` (JSON payloads mapped by paths); a further one, such as
`sparkplug`, is a section that inherits SourceSection, a function (section, Reading) -> Source, and a line in `source_file.KINDS`.
"""
