package actionapi

import "testing"

func TestQueries(t *testing.T) {
	for _, tt := range []struct {
		name string
		q    query
		sql  string
	}{
		{"plain", query{"p", "/+/upload", topicUser, "*", ""}, `SELECT * FROM /p/+/upload`},
		{"where", query{"p", "/+/upload", topicUser, "a, b AS c", "a > 1 AND b = 'x'"}, `SELECT a, b AS c FROM /p/+/upload WHERE a > 1 AND b = 'x'`},
		{"system", query{"p", "/+/shadow/document", topicSys, "deviceSN(), *", ""}, `SELECT deviceSN(), * FROM /$system/p/+/shadow/document`},
		{"words in quotes", query{"p", "/d/#", topicUser, `concat(' FROM ', " WHERE ")`, "a = ' WHERE '"}, `SELECT concat(' FROM ', " WHERE ") FROM /p/d/# WHERE a = ' WHERE '`},
		{"words within names", query{"p", "/d/a", topicUser, "from_me, a.where, WHEREVER", "x.from = 1"}, `SELECT from_me, a.where, WHEREVER FROM /p/d/a WHERE x.from = 1`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sql, err := tt.q.sql()
			if err != nil || sql != tt.sql {
				t.Fatalf("got %q, %v, want %q", sql, err, tt.sql)
			}
			if back := parseQueryText(sql); back != tt.q {
				t.Errorf("back it is %+v, want %+v", back, tt.q)
			}
		})
	}
	for name, q := range map[string]query{
		"another topic":   {"p", "/+/upload", topicUser, "* FROM /q/+/upload WHERE a =", "1"},
		"an open quote":   {"p", "/+/upload", topicUser, "'a", ""},
		"no such type":    {"p", "/+/upload", "moon", "*", ""},
		"quote in topic":  {"p", "/+/up'load", topicUser, "*", ""},
		"blank in topic":  {"p", "/+/up load", topicUser, "*", ""},
		"no slash":        {"p", "upload", topicUser, "*", ""},
		"bad filter":      {"p", "/#/upload", topicUser, "*", ""},
		"two of the same": {"p", "/+/upload", topicUser, "a FROM b", ""},
	} {
		if sql, err := q.sql(); err == nil {
			t.Errorf("%s: taken as %q", name, sql)
		}
	}
}

func FuzzQueryText(f *testing.F) {
	f.Add("*", "a > 1")
	f.Add("concat('from', x)", "a = 'b'")
	f.Fuzz(func(t *testing.T, fields, where string) {
		sql, err := query{"p", "/+/upload", topicUser, fields, where}.sql()
		if err != nil {
			return
		}
		if back := parseQueryText(sql); back.product != "p" || back.shortTopic != "/+/upload" {
			t.Errorf("%q has another topic: %+v", sql, back)
		}
	})
}
