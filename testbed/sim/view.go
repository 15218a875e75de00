package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// banner says where to look and gives commands to paste.
//
//nolint:misspell // mosquitto is how those programs are spelled
func banner(out io.Writer, cfg demoConfig, addr addresses, lan, key string, w *world) {
	host, port, _ := strings.Cut(local(addr.mqtt), ":")
	one, two := w.hands[0], w.hands[1]
	sensors := w.products[sensorProduct]
	fmt.Fprintf(out, `
Hawser is running.

  console        http://%s/console/
  API            http://%s        (TLS: https://%s)
  MQTT           %s              (TLS: %s, WebSocket: ws://%s/mqtt)
  sub-devices    %s              (the gateway's own listener)
  owner API key  %s
  data and logs  %s

Paste into another terminal:

  export HAWSER_HUB=http://%s HAWSER_API_KEY=%s
  bin/hawserctl device list %s
  bin/hawserctl watch
`,
		local(addr.http), local(addr.http), local(addr.https), local(addr.mqtt), local(addr.mqtts), local(addr.http),
		orNone(lan), key, cfg.dir, local(addr.http), key, sensors)
	if len(w.sensors) > 0 {
		first := w.sensors[0].id.SN
		fmt.Fprintf(out, `  bin/hawserctl command call %s %s reboot delay=1
  bin/hawserctl property set %s %s switch=1
  bin/hawserctl shadow set %s %s interval=0.5
`, sensors, first, sensors, first, sensors, first)
	}
	fmt.Fprintf(out, `
Be a device yourself (two are free for it):

  mosquitto_sub -h %s -p %s -k 60 -q 1 -i %s -u '%s|%s|1' -P %s -t '/%s/%s/set'
  bin/hawserctl publish %s %s set '{"hello":"device"}'
  mosquitto_pub -h %s -p %s -k 60 -q 1 -i %s -u '%s|%s|1' -P %s -t '/%s/%s/upload' -m '{"hello":"hub"}'

`,
		host, port, one.id.ClientID(), one.id.Product, one.id.SN, one.secret.Reveal(), one.id.Product, one.id.SN,
		one.id.Product, one.id.SN,
		host, port, two.id.ClientID(), two.id.Product, two.id.SN, two.secret.Reveal(), two.id.Product, two.id.SN)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// show draws until ctx ends, or a program of the demo does.
func show(ctx context.Context, out *os.File, cfg demoConfig, v *watcher, programs ...*process) error {
	draw := lines(out, v)
	every := 5 * time.Second
	if !cfg.plain && terminal(out) {
		draw, every = table(out, v), time.Second
	}
	died := firstEnd(programs)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-tick.C:
			draw(time.Since(last))
			last = time.Now()
		case p := <-died:
			if ctx.Err() != nil {
				return nil
			}
			return p.died()
		case <-ctx.Done():
			return nil
		}
	}
}

// firstEnd yields a program that has ended.
func firstEnd(programs []*process) <-chan *process {
	died := make(chan *process, len(programs))
	for _, p := range programs {
		if p == nil {
			continue
		}
		go func() {
			<-p.ended
			died <- p
		}()
	}
	return died
}

func terminal(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// maxRows keeps the table on a screen; the rest is counted.
const maxRows = 20

// table draws all again over the last picture.
func table(out io.Writer, v *watcher) func(since time.Duration) {
	height := 0
	return func(since time.Duration) {
		rows := v.snapshot(since)
		var b strings.Builder
		if height > 0 {
			fmt.Fprintf(&b, "\x1b[%dA\x1b[J", height)
		}
		fmt.Fprintf(&b, "%-14s %-8s %-8s %6s  %s\n", "DEVICE", "KIND", "STATE", "MSG/S", "LAST VALUES")
		for i, r := range rows {
			if i == maxRows {
				fmt.Fprintf(&b, "… and %d more\n", len(rows)-maxRows)
				break
			}
			fmt.Fprintf(&b, "%-14s %-8s %-8s %6.1f  %s\n", clip(r.id.SN, 14), r.what, state(r.online), r.rate, clip(r.text(), 70))
		}
		b.WriteString(summary(rows) + "\n")
		news, _ := v.newsSince(0)
		for _, n := range news[max(0, len(news)-5):] {
			fmt.Fprintf(&b, "%s\n", clip(n, 110))
		}
		fmt.Fprint(out, b.String())
		height = strings.Count(b.String(), "\n")
	}
}

// lines prints a summary and what is new, for logs and pipes.
func lines(out io.Writer, v *watcher) func(since time.Duration) {
	seen := 0
	return func(since time.Duration) {
		rows := v.snapshot(since)
		news, n := v.newsSince(seen)
		seen = n
		for _, line := range news {
			fmt.Fprintln(out, line)
		}
		fmt.Fprintf(out, "%s  %s\n", time.Now().Format(time.TimeOnly), summary(rows))
	}
}

func summary(rows []row) string {
	online, messages, rate := 0, int64(0), 0.0
	for _, r := range rows {
		if r.online {
			online++
		}
		messages += r.messages
		rate += r.rate
	}
	return fmt.Sprintf("%d of %d devices online, %d messages, %.1f/s", online, len(rows), messages, rate)
}

func (r *row) text() string {
	keys := make([]string, 0, len(r.values))
	for k := range r.values {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var parts []string
	for _, k := range keys {
		parts = append(parts, k+" "+r.values[k])
	}
	if r.last != "" {
		parts = append(parts, "["+r.last+"]")
	}
	return strings.Join(parts, "  ")
}

func state(online bool) string {
	if online {
		return "online"
	}
	return "offline"
}

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
