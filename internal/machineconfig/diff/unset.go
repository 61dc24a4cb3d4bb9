package diff

// never marks a field whose empty value is something else than no value.
const never = "\x00"

// unsetValues has, for fields that the library keeps with a pointer, the value that Talos takes when none is written.
var unsetValues = map[string]string{}
