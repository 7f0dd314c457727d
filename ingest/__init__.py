"""The reader: parse, persist, dead letters, real-time profiles and trending; traffic simulator."""
