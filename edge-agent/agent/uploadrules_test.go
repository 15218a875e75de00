package agent

import "testing"

// TestUploadsThatAreTaken: a configuration from afar deletes and moves files where the gateway's own does, and nowhere else.
func TestUploadsThatAreTaken(t *testing.T) {
	own := &Uploads{Rules: []UploadRule{{Glob: "/spool/cam/*/*.jpg", After: "delete"}, {Glob: "/spool/out/*", After: "move", MoveTo: "/spool/sent"}, {Glob: "/etc/*", After: "keep"}}}
	for _, tt := range []struct {
		rule UploadRule
		ok   bool
	}{
		{UploadRule{Glob: "/var/*", After: "keep"}, true},
		{UploadRule{Glob: "/spool/cam/*.png", After: "delete"}, true},
		{UploadRule{Glob: "/spool/cam/a/b/*", After: "delete"}, true},
		{UploadRule{Glob: "/spool/*", After: "delete"}, false},
		{UploadRule{Glob: "/spool/camera/*", After: "delete"}, false},
		{UploadRule{Glob: "/spool/cam/../../etc/*", After: "delete"}, false},
		{UploadRule{Glob: "/spool/cam/*/../../../etc/passwd", After: "delete"}, false},
		{UploadRule{Glob: "/etc/*", After: "delete"}, false},
		{UploadRule{Glob: "/spool/out/*", After: "move", MoveTo: "/spool/sent"}, true},
		{UploadRule{Glob: "/spool/out/*", After: "move", MoveTo: "/etc/cron.d"}, false},
		{UploadRule{Glob: "/spool/cam/*", After: "move", MoveTo: "/spool/sent"}, false},
	} {
		u := &Uploads{Rules: []UploadRule{tt.rule}}
		if err := u.takesAs(own); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt.rule, err)
		}
		if err := u.takesAs(nil); (err == nil) != (tt.rule.After == "keep") {
			t.Errorf("%+v without rules: %v", tt.rule, err)
		}
	}
	if err := (*Uploads)(nil).takesAs(nil); err != nil {
		t.Error(err)
	}
}
