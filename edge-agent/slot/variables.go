package slot

import "strings"

// Variables are what an environment holds, in its order. A variable that this package does not know stays as it is.
type Variables []Variable

// Variable is a name and a value.
type Variable struct{ Name, Value string }

// Get returns the value of name, "" if it is not there.
func (v Variables) Get(name string) string {
	for _, x := range v {
		if x.Name == name {
			return x.Value
		}
	}
	return ""
}

// Set returns v with another value for name.
func (v Variables) Set(name, value string) Variables {
	out := append(Variables(nil), v...)
	for i := range out {
		if out[i].Name == name {
			out[i].Value = value
			return out
		}
	}
	return append(out, Variable{name, value})
}

// Equal tells whether both hold the same in the same order.
func (v Variables) Equal(w Variables) bool {
	if len(v) != len(w) {
		return false
	}
	for i := range v {
		if v[i] != w[i] {
			return false
		}
	}
	return true
}

func cutVariable(text string) (Variable, bool) {
	name, value, ok := strings.Cut(text, "=")
	return Variable{name, value}, ok && name != ""
}
