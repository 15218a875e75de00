package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hawser-iot/hawser/device-sdk/devicetest"
	"github.com/hawser-iot/hawser/firmware/failure"
	"github.com/hawser-iot/hawser/firmware/imagetest"
	"github.com/hawser-iot/hawser/protocol/credential"
	"github.com/hawser-iot/hawser/protocol/ident"
)

const secret = "0123456789abcdef"

// trial is how long a new image has to become well, which on a busy machine takes a while. A bad one takes all of it.
const trial = "20s"

// appliance is a program that runs, beside the hub that it is connected to.
type appliance struct {
	t         *testing.T
	hub       *devicetest.Hub
	authority *devicetest.Authority
	id        ident.Device
	data      string
	cmd       *exec.Cmd
}

// start builds the appliance for an architecture and runs it, with first as its image.
func start(t *testing.T, arch, variant, qemu string, first []byte) *appliance {
	t.Helper()
	a := &appliance{t: t, hub: devicetest.New(t), data: t.TempDir()}
	a.id = a.hub.AddDevice(devicetest.Device{Secret: credential.Secret(secret)})
	var err error
	if a.authority, err = devicetest.NewAuthority(); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(a.data, "appliance")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, variant)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	a.write("secret", []byte(secret))
	a.write("root", a.authority.Document())
	if err := os.MkdirAll(filepath.Join(a.data, "slots", "A"), 0o755); err != nil {
		t.Fatal(err)
	}
	a.write("slots/A/default", first)
	args := []string{bin, "--server", a.hub.URL(), "--product", a.id.Product, "--device", a.id.SN, "--secret-file", a.path("secret"),
		"--root", a.path("root"), "--class", "devicetest.example/board", "--data", a.data, "--trial", trial}
	if qemu != "" {
		if _, err := exec.LookPath(qemu); err != nil {
			t.Fatalf("%v: make install-test-deps installs it", err)
		}
		args = append([]string{qemu}, args...)
	}
	a.run(args)
	return a
}

func (a *appliance) path(name string) string { return filepath.Join(a.data, name) }

func (a *appliance) write(name string, b []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.path(name), b, 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *appliance) run(args []string) {
	a.t.Helper()
	var out bytes.Buffer
	a.cmd = exec.Command(args[0], args[1:]...)
	a.cmd.Env = append(os.Environ(), "GOGC=10")
	a.cmd.Stdout, a.cmd.Stderr = &out, &out
	a.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := a.cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() {
		_ = a.cmd.Process.Kill()
		_ = a.cmd.Wait() // it was killed
		if a.t.Failed() {
			a.t.Logf("the appliance said:\n%s", out.String())
		}
	})
}

// update offers an image and waits for its end.
func (a *appliance) update(f devicetest.Firmware) devicetest.Update {
	a.t.Helper()
	rel, err := a.authority.Build(f)
	if err != nil {
		a.t.Fatal(err)
	}
	number, err := a.hub.OfferFirmware(a.id, devicetest.Offer{Release: rel, Authority: a.authority})
	if err != nil {
		a.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(a.t.Context(), 3*time.Minute)
	defer cancel()
	u, err := a.hub.WaitUpdate(ctx, number, func(u devicetest.Update) bool {
		return u.Attested != nil || u.State() == "failed" || u.State() == "rejected"
	})
	if err != nil {
		a.t.Fatalf("%v: states %q", err, u.States)
	}
	return u
}

// holds tells whether a slot has an image.
func (a *appliance) holds(slot string, want []byte) {
	a.t.Helper()
	got, err := os.ReadFile(a.path("slots/" + slot + "/default"))
	if err != nil || !bytes.Equal(got, want) {
		a.t.Errorf("slot %s has another image (%d bytes, %v)", slot, len(got), err)
	}
}

// images are three versions that share most of their content.
func images(n int) [3][]byte {
	one := imagetest.Stream("appliance", n)
	two := slices.Concat(one[:n/3], []byte("an insertion"), one[n/3:n*3/4], imagetest.Stream("more", 9000), one[n*3/4:], make([]byte, 100_000))
	three := slices.Concat([]byte("unwell"), two)
	return [3][]byte{one, two, three}
}

// TestEveryArchitecture updates the appliance, built for other processors too, by a delta; the same bytes come out. A release that is
// not well is taken back.
func TestEveryArchitecture(t *testing.T) {
	img := images(600_000)
	for _, tt := range []struct {
		arch, variant, qemu string
		long                bool // building it the first time takes minutes
	}{
		{"amd64", "GOAMD64=v1", "", false},
		{"mipsle", "GOMIPS=softfloat", "qemu-mipsel-static", false},
		{"arm", "GOARM=5", "qemu-arm-static", true},
	} {
		if tt.long && os.Getenv("HAWSER_TEST_LONG") == "" {
			continue
		}
		t.Run(tt.arch, func(t *testing.T) {
			a := start(t, tt.arch, tt.variant, tt.qemu, img[0])
			u := a.update(devicetest.Firmware{Version: "2.0", Images: map[string][]byte{"default": img[1]}, Old: map[string][]byte{"default": img[0]}})
			if u.State() != "confirmed" || u.Sent > 50_000 {
				t.Errorf("%s %s, %d bytes", u.State(), u.Last.Class, u.Sent)
			}
			a.holds("B", img[1])
			if tt.qemu != "" {
				return
			}
			u = a.update(devicetest.Firmware{Version: "3.0", Sequence: 2, Images: map[string][]byte{"default": img[2]}, Old: map[string][]byte{"default": img[1]}})
			if u.State() != "rolled_back" || u.Last.Class != string(failure.HealthFailed) || u.Attested.Slot != "B" {
				t.Errorf("%s %s, attested %+v", u.State(), u.Last.Class, u.Attested)
			}
		})
	}
}

// TestMemory measures what an update takes beside what the program has when it is idle.
func TestMemory(t *testing.T) {
	img := images(12 << 20)
	for _, tt := range []struct {
		name string
		old  []byte
	}{{"full pack", nil}, {"delta", img[0]}} {
		t.Run(tt.name, func(t *testing.T) {
			a := start(t, "amd64", "GOAMD64=v1", "", img[0])
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := a.hub.WaitOnline(ctx, a.id, true); err != nil {
				t.Fatal(err)
			}
			if _, err := a.hub.WaitMessage(ctx, func(m devicetest.Message) bool { return m.From == a.id }); err != nil {
				t.Fatal(err)
			}
			before := anonymous(t, a.cmd.Process.Pid)
			peak := make(chan int)
			done := make(chan struct{})
			go func() { peak <- sample(a.cmd.Process.Pid, done) }()
			f := devicetest.Firmware{Images: map[string][]byte{"default": img[1]}}
			if tt.old != nil {
				f.Old = map[string][]byte{"default": tt.old}
			}
			u := a.update(f)
			close(done)
			most := <-peak
			t.Logf("idle %d KiB, at most %d KiB, %d bytes downloaded", before, most, u.Sent)
			if u.State() != "confirmed" || most-before > 4<<10 {
				t.Errorf("%s: %d KiB more than when it is idle, want at most 4096", u.State(), most-before)
			}
		})
	}
}

// sample is the most anonymous memory that a process has, in KiB, until done is closed.
func sample(pid int, done <-chan struct{}) (most int) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if n, err := readAnonymous(pid); err == nil {
				most = max(most, n)
			}
		case <-done:
			return most
		}
	}
}

func anonymous(t *testing.T, pid int) int {
	t.Helper()
	n, err := readAnonymous(pid)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func readAnonymous(pid int) (int, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Anonymous:"); ok {
			return strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
		}
	}
	return 0, fmt.Errorf("no anonymous memory in smaps_rollup of %d", pid)
}
