package store

import (
	"bytes"
	"strings"
	"testing"
)

func TestFrame(t *testing.T) {
	var blob []byte
	want := [][]byte{[]byte("a"), {}, bytes.Repeat([]byte("x"), 300), []byte("z")}
	for _, r := range want {
		blob = appendRecord(blob, r)
	}
	if got := string(blob[:6]); got != "\x01\x01a\x00\xac\x02" {
		t.Errorf("format: got %q", got)
	}
	got, err := parseFrame(blob)
	if err != nil || len(got) != len(want) {
		t.Fatalf("got %d records, %v, want %d", len(got), err, len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("record %d: got %q, want %q", i, got[i], want[i])
		}
	}
	for _, bad := range []string{"", "\x00", "\x02\x01a", "\x01\x02a", "\x01\x80", "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x01\x01a\x05"} {
		if _, err := parseFrame([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func FuzzFrame(f *testing.F) {
	f.Add([]byte("\x01\x01a\x00\x03xyz"))
	f.Add([]byte("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		records, err := parseFrame(b)
		if err != nil {
			return
		}
		blob := []byte{frameVersion}
		for _, r := range records {
			blob = appendRecord(blob, r)
		}
		again, err := parseFrame(blob)
		if err != nil || len(again) != len(records) {
			t.Fatalf("got %d records, %v, want %d", len(again), err, len(records))
		}
	})
}

func TestRebind(t *testing.T) {
	for _, test := range []struct {
		sql, want string
		params    int
	}{
		{"SELECT 1", "SELECT 1", 0},
		{"SELECT ? + ?", "SELECT $1 + $2", 2},
		{"SELECT '?', \"?\", ?", "SELECT '?', \"?\", $1", 1},
		{"SELECT 'it''s ?', ?", "SELECT 'it''s ?', $1", 1},
		{"SELECT ? -- why?\n, ?", "SELECT $1 -- why?\n, $2", 2},
		{"SELECT ? - -?", "SELECT $1 - -$2", 2},
		{"SELECT '?", "SELECT '$1", 1}, // an open quote is the engine's to refuse
	} {
		if got, n := rebind(test.sql); got != test.want || n != test.params {
			t.Errorf("%q: got %q with %d, want %q with %d", test.sql, got, n, test.want, test.params)
		}
	}
}

func FuzzRebind(f *testing.F) {
	for _, s := range []string{"SELECT ?, '?', \"?\" -- ?\n, ?", "'", "--", "''?''"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out, n := rebind(s)
		if n > strings.Count(s, "?") {
			t.Fatalf("%q: %d parameters", s, n)
		}
		if n == 0 && out != s {
			t.Fatalf("%q became %q without a parameter", s, out)
		}
	})
}

func TestStmtShapes(t *testing.T) {
	for _, test := range []struct {
		sql            string
		merge, session bool
	}{
		{"INSERT INTO t (a, b) VALUES (?, ?)", true, false},
		{"insert into t(a) values(?) on conflict (a) do nothing", true, false},
		{"INSERT INTO t (a, b)\n\tVALUES (?, ?)\n\tON CONFLICT (a) DO UPDATE SET b = excluded.b WHERE t.b < excluded.b", true, false},
		{"INSERT INTO t (a, b) VALUES (?, 1)", false, false},
		{"INSERT INTO t (a) VALUES (?) ON CONFLICT (a) DO UPDATE SET b = ?", false, false},
		{"INSERT INTO t (a) VALUES (?) RETURNING a", false, false},
		{"INSERT INTO t (a) SELECT ? FROM u", false, false},
		{"UPDATE t SET a = ? WHERE b = ?", false, false},
		{"INSERT INTO session (device) VALUES (?)", true, true},
		{" update session set online = ?", false, true},
		{"DELETE FROM session WHERE device = ?", false, true},
		{"SELECT epoch FROM session", false, false},
		{"UPDATE sessions SET a = ?", false, false},
	} {
		s := NewStmt(test.sql)
		if s.mergeable() != test.merge || s.session != test.session {
			t.Errorf("%q: merge %t, session %t; want %t, %t", test.sql, s.mergeable(), s.session, test.merge, test.session)
		}
	}
	s := NewStmt("INSERT INTO t (a, b) VALUES (?, ?) ON CONFLICT DO NOTHING")
	if got, want := s.rows(2), "INSERT INTO t (a, b) VALUES (?, ?),(?, ?) ON CONFLICT DO NOTHING"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTail(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		tl := tail{max: 10 + 3*tailRowCost}
		for s := range tl.last {
			tl.last[s] = 100 // opened with rows up to 100, of whatever shard
		}
		wantTail(t, &tl, 1, 100, true)
		wantTail(t, &tl, 1, 7, false) // there may be rows below 100
		tl.add(1, 101, []byte("aaaa"))
		tl.add(2, 102, []byte("bb"))
		tl.add(1, 103, []byte("cccc"))
		wantTail(t, &tl, 1, 100, true, 101, 103)
		wantTail(t, &tl, 1, 101, true, 103)
		wantTail(t, &tl, 1, 103, true)
		wantTail(t, &tl, 1, 99, false)
		tl.add(3, 104, []byte("d")) // drops the oldest, 101
		wantTail(t, &tl, 1, 100, false)
		wantTail(t, &tl, 1, 101, true, 103)
		wantTail(t, &tl, 2, 100, true, 102)
		tl.add(4, 105, make([]byte, 1000)) // larger than everything: nothing stays
		wantTail(t, &tl, 4, 100, false)
		wantTail(t, &tl, 4, 105, true)
	})
	t.Run("postgres", func(t *testing.T) {
		tl := tail{max: 1000, gapless: true}
		tl.add(1, 5, []byte("a"))
		tl.add(1, 6, []byte("b"))
		tl.add(1, 8, []byte("d")) // 7 is another node's
		wantTail(t, &tl, 1, 4, true, 5, 6)
		wantTail(t, &tl, 1, 6, false)
		wantTail(t, &tl, 1, 7, true, 8)
		wantTail(t, &tl, 1, 8, false) // another node may have written since
		wantTail(t, &tl, 1, 3, false)
	})
}

func wantTail(t *testing.T, tl *tail, shard int, after int64, ok bool, want ...int64) {
	t.Helper()
	got, gotOK := tl.read(shard, after, 10)
	if gotOK != ok || len(got) != len(want) {
		t.Errorf("after %d: got %d rows, %t, want %d, %t", after, len(got), gotOK, len(want), ok)
		return
	}
	for i := range want {
		if got[i].seq != want[i] {
			t.Errorf("after %d: got seq %d, want %d", after, got[i].seq, want[i])
		}
	}
}
