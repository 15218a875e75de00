package account

import (
	"testing"

	"github.com/hawser-iot/hawser/cloud/store/storetest"
)

func BenchmarkKey(b *testing.B) {
	w := newBench(b, storetest.SQLite(b))
	text, _, err := w.CreateKey(b.Context(), w.owner, w.hub(), NewKey{Name: "a", Role: RoleAdmin})
	w.must(err)
	benchmarkToken(b, w, text)
}

func BenchmarkSession(b *testing.B) {
	w := newBench(b, storetest.SQLite(b))
	w.user("ann", DefaultProject, RoleOperator)
	token, _ := w.login("ann")
	benchmarkToken(b, w, token)
}

// benchmarkToken measures the way from a request's token to the caller in a project, in memory.
func benchmarkToken(b *testing.B, w *bench, token string) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		c, err := w.Authenticate(b.Context(), token)
		if err != nil || !c.In(DefaultProject).May(DeviceRead) {
			b.Fatal("refused")
		}
	}
}

// BenchmarkPassword is the hash of one login, at the cost of DefaultHashConfig.
func BenchmarkPassword(b *testing.B) {
	h := newHasher(DefaultHashConfig())
	stored, err := h.hash(b.Context(), password)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if ok, _, err := h.check(b.Context(), stored, password); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

// BenchmarkRecord is one entry of the audit log with nobody beside it to share the commit.
func BenchmarkRecord(b *testing.B) {
	w := newBench(b, storetest.SQLite(b))
	for b.Loop() {
		w.must(w.Record(b.Context(), Entry{Operation: "updateRule", Object: "/v1/rules/1", Result: 200}))
	}
}
