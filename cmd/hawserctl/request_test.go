package main

import "testing"

func TestWithoutSecrets(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"nothing secret", `{"name":"password","kind":"device"}`, `{"name":"password","kind":"device"}`},
		{"a password", `{"login":"ann","password":"a\"b c"}`, `{"login":"ann","password":"**redacted**"}`},
		{"further members", `{"newPassword" : "x","deviceSecret":"y","n":1}`, `{"newPassword" : "**redacted**","deviceSecret":"**redacted**","n":1}`},
		{"no JSON", "deviceSN\npump-1\n", "deviceSN\npump-1\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(withoutSecrets([]byte(tt.body))); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
