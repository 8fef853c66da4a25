package collector

func systemDefinitions() []definition { return nil }
