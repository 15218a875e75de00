package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/hawser-iot/hawser/cloud/apiclient"
	"github.com/hawser-iot/hawser/cloud/apitype"
	"github.com/hawser-iot/hawser/cmd/hawserctl/bundle"
	"github.com/hawser-iot/hawser/cmd/hawserctl/remote"
)

// envSSHPassword has the password for --password where nobody can be asked.
const envSSHPassword = "HAWSER_SSH_PASSWORD"

// installed is what provision install prints.
type installed struct {
	ProductSN string    `json:"productSN"`
	DeviceSN  string    `json:"deviceSN"`
	Made      bool      `json:"made"`
	Host      string    `json:"host"`
	Target    string    `json:"target"`
	Variant   string    `json:"variant"`
	Init      string    `json:"init"`
	Hub       string    `json:"hub"`
	State     string    `json:"state,omitempty"` // of the device at the end
	OnlineAt  time.Time `json:"onlineAt,omitzero"`
	Seconds   float64   `json:"seconds,omitempty"`
	Files     []planned `json:"files"`
}

// installation is how a device is reached.
type installation struct {
	*provision
	ssh      remote.Config
	password bool
	noWait   bool
	timeout  time.Duration
	say      func(format string, args ...any) // tells of a step
	quiet    bool                             // no bar
}

func newProvisionInstall(c *cli) *cobra.Command {
	i := &installation{provision: &provision{cli: c}}
	cmd := &cobra.Command{
		Use:   "install P [D] --ssh [USER@]HOST[:PORT]",
		Short: "Install the agent on a device over SSH, and see it come online",
		Long: `Install the agent on a device over SSH: see which processor and init it has, create it
on the hub when it does not exist, send the bundle, start the service, and wait until
the hub has seen it come online.

It logs in with --identity, with the keys of the SSH agent and of ~/.ssh, or with
--password (asked for, or from HAWSER_SSH_PASSWORD). The device needs a POSIX shell, tar
and gzip; busybox's will do. Its host key must be in known_hosts; --accept-new-host adds
one that is not, a key that has changed is always refused.

Run again it installs again, with the same device. --dry-run looks at the device and
shows what would be installed.`,
		Example: `  hawserctl provision install 70ly1tvowt696r15 gw-1 --ssh root@192.168.1.1
  hawserctl provision install 70ly1tvowt696r15 --ssh pi@raspberrypi.local --sudo --variant core
  hawserctl provision install 70ly1tvowt696r15 gw-1 --ssh root@192.168.1.1 --dry-run -o json`,
		Args: rangeArgs(1, 2, "P (productSN)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			i.product = args[0]
			sn := ""
			if len(args) > 1 {
				sn = args[1]
			}
			if i.ssh.Host == "" {
				return usageError{errors.New("--ssh is missing")}
			}
			i.say = func(format string, args ...any) { fmt.Fprintf(c.errOut, format+"\n", args...) }
			if err := i.begin(cmd.Context()); err != nil {
				return err
			}
			result, err := i.install(cmd.Context(), i.ssh.Host, sn, i.name)
			if err != nil {
				return err
			}
			return c.printValue(result)
		},
	}
	i.flags(cmd.Flags())
	cmd.Flags().StringVar(&i.ssh.Host, "ssh", "", "the device: [USER@]HOST[:PORT]")
	cmd.Flags().StringVar(&i.name, "name", "", "name of a device that is created")
	return cmd
}

func (i *installation) flags(f *pflag.FlagSet) {
	i.provision.flags(f)
	f.StringVar(&i.target, "target", "", "the device's processor; absent: it is seen from its shell")
	f.StringVar(&i.config.Init, "init", "", "what starts the agent: systemd, procd or sysv; absent: what the device has")
	f.StringVar(&i.ssh.Identity, "identity", "", "private key to log in with")
	f.BoolVar(&i.password, "password", false, "log in with a password, asked for or from "+envSSHPassword)
	f.StringVar(&i.ssh.KnownHosts, "known-hosts", "", "file of host keys (default ~/.ssh/known_hosts)")
	f.BoolVar(&i.ssh.AcceptNew, "accept-new-host", false, "add the key of a host that is not known")
	f.BoolVar(&i.ssh.Sudo, "sudo", false, "work as root by sudo -n")
	f.BoolVar(&i.noWait, "no-wait", false, "do not wait until the device is online")
	f.DurationVar(&i.timeout, "timeout", 2*time.Minute, "how long to wait for the device to come online")
}

// begin makes ready what is the same for all devices.
func (i *installation) begin(ctx context.Context) error {
	if err := i.known(); err != nil {
		return err
	}
	i.ssh.Timeout = 20 * time.Second
	if i.password {
		secret, err := i.askPassword()
		if err != nil {
			return err
		}
		i.ssh.Password = func() (string, error) { return secret, nil }
	}
	return i.prepare(ctx)
}

func (i *installation) askPassword() (string, error) {
	if s := os.Getenv(envSSHPassword); s != "" {
		return s, nil
	}
	f, ok := i.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", usageError{errors.New("--password: there is nobody to ask: set " + envSSHPassword)}
	}
	fmt.Fprint(i.errOut, "SSH password: ")
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(i.errOut)
	return string(b), err
}

// install installs one device.
func (i *installation) install(ctx context.Context, host, sn, name string) (r installed, err error) {
	began := time.Now()
	sc := i.ssh
	sc.Host = host
	shell, err := remote.Dial(ctx, sc)
	if err != nil {
		return r, err
	}
	defer func() { _ = shell.Close() }() // what it was for is done
	i.say("✓ logged in at %s (%s)", host, shell.Server())
	cfg := i.config
	target, err := i.look(ctx, shell, &cfg)
	if err != nil {
		return r, err
	}
	i.say("✓ %s, started by %s", target, cfg.Init)
	if cfg.Agent, err = i.program(target); err != nil {
		return r, err
	}
	made, err := i.credentials(ctx, &cfg, sn, name)
	if err != nil {
		return r, err
	}
	r = installed{ProductSN: i.product, DeviceSN: cfg.Device, Made: made, Host: host, Target: target, Variant: cfg.Variant, Init: cfg.Init, Hub: cfg.Hub}
	files, err := cfg.Files()
	if err != nil {
		return r, usageError{err}
	}
	if r.Files = plan(files); i.dryRun {
		return r, nil
	}
	before, err := i.seen(ctx, cfg.Device)
	if err == nil {
		err = i.put(ctx, shell, cfg, files)
	}
	if err != nil || i.noWait || cfg.Device == "" {
		return r, err
	}
	d, err := i.wait(ctx, shell, cfg, before.OnlineAt)
	r.State, r.OnlineAt, r.Seconds = string(d.State), d.OnlineAt, time.Since(began).Seconds()
	return r, err
}

// look sees what the device is, and whether there is room.
func (i *installation) look(ctx context.Context, shell *remote.Shell, cfg *bundle.Config) (target string, err error) {
	if cfg.Init == "" {
		b, err := shell.Run(ctx, "if [ -d /run/systemd/system ]; then echo systemd; elif [ -f /etc/rc.common ]; then echo procd; else echo sysv; fi", nil)
		if err != nil {
			return "", err
		}
		if cfg.Init = strings.TrimSpace(string(b)); cfg.Prefix != "" {
			cfg.Init = bundle.SysV
		}
	}
	if i.target != "" {
		return i.target, nil
	}
	machine, err := shell.Run(ctx, "uname -m", nil)
	if err != nil {
		return "", err
	}
	head, err := shell.Run(ctx, "head -c 64 /bin/sh", nil)
	if err != nil {
		return "", err
	}
	return bundle.Target(head, strings.TrimSpace(string(machine)))
}

// put sends the files, checks them there, and starts the service.
func (i *installation) put(ctx context.Context, shell *remote.Shell, cfg bundle.Config, files []bundle.File) error {
	var b bytes.Buffer
	if err := bundle.Write(&b, files); err != nil {
		return err
	}
	root := remote.Quote(cfg.Prefix + "/")
	if err := i.room(ctx, shell, root, len(cfg.Agent)); err != nil {
		return err
	}
	size := int64(b.Len())
	in := newReader(i, &b, size)
	_, err := shell.Run(ctx, bundle.Unpack(root, files), in)
	in.bar.end()
	if err != nil {
		return err
	}
	i.say("✓ %s KiB unpacked", grouped(size>>10))
	if _, err := shell.Run(ctx, cfg.Program()+" config check --config "+cfg.Settings(), nil); err != nil {
		return fmt.Errorf("the agent does not take its configuration: %w", err)
	}
	if _, err := shell.Run(ctx, startCommand(cfg), nil); err != nil {
		return err
	}
	i.say("✓ started")
	return nil
}

// newReader shows how much is sent, when there is one device only.
func newReader(i *installation, b *bytes.Buffer, size int64) *shownReader {
	bar := i.newShare("sending")
	if i.quiet {
		bar.w = discard{}
	}
	return &shownReader{b, bar, 0, size}
}

// discard takes what nobody looks at.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// room checks that the program fits, twice while it is replaced.
func (i *installation) room(ctx context.Context, shell *remote.Shell, root string, program int) error {
	b, err := shell.Run(ctx, "mkdir -p "+root+" && df -kP "+root, nil)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	f := strings.Fields(lines[len(lines)-1])
	if len(f) < 4 {
		return nil // it does not say
	}
	free, err := strconv.ParseInt(f[3], 10, 64)
	if need := int64(program)>>10 + 1024; err == nil && free < need {
		return fmt.Errorf("there are %s KiB free on the device, and %s are needed", grouped(free), grouped(need))
	}
	return nil
}

func startCommand(cfg bundle.Config) string {
	script := cfg.Prefix + "/etc/init.d/hawser-agent"
	switch {
	case cfg.Init == bundle.Systemd:
		return "systemctl daemon-reload && systemctl enable hawser-agent && systemctl restart hawser-agent"
	case cfg.Init == bundle.Procd:
		return script + " enable && " + script + " restart"
	case cfg.Prefix != "":
		return script + " restart"
	}
	return "{ ! command -v update-rc.d >/dev/null || update-rc.d hawser-agent defaults; } && " + script + " restart"
}

// seen is the device as the hub has it; one that will register itself need not be there yet.
func (i *installation) seen(ctx context.Context, sn string) (d apitype.Device, err error) {
	if sn == "" {
		return d, nil
	}
	b, err := i.do(ctx, func(ctx context.Context, client *apiclient.Client) (*http.Response, error) {
		return client.GetDevice(ctx, i.product, sn)
	})
	var refused *apiError
	if errors.As(err, &refused) && refused.problem.Code == "device_not_found" {
		return d, nil
	}
	if err != nil {
		return d, err
	}
	return d, json.Unmarshal(b, &d)
}

// errNotOnline says that a device did not come online. What it says of itself was printed.
var errNotOnline = errors.New("the device did not come online")

// wait waits until the hub has seen the device come, after the login of before.
func (i *installation) wait(ctx context.Context, shell *remote.Shell, cfg bundle.Config, before time.Time) (d apitype.Device, err error) {
	for deadline := time.Now().Add(i.timeout); ; {
		if d, err = i.seen(ctx, cfg.Device); err != nil {
			return d, err
		}
		if d.State == apitype.DeviceStateOnline && d.OnlineAt.After(before) {
			i.say("✓ %s is online", cfg.Device)
			return d, nil
		}
		if time.Now().After(deadline) {
			break
		}
		select {
		case <-ctx.Done():
			return d, ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
	}
	// It ends with 1 when it finds something, which is what is wanted.
	b, err := shell.Run(ctx, cfg.Program()+" doctor --config "+cfg.Settings()+" 2>&1 || true", nil)
	if err != nil {
		b = []byte(err.Error())
	}
	return d, fmt.Errorf("%w within %v; its own word:\n%s", errNotOnline, i.timeout, strings.TrimSpace(string(b)))
}
