package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/hawser-iot/hawser/cloud/apitype"
)

// colours are those of results on a terminal.
var colours = map[string]string{"refused": "\x1b[33m", "failed": "\x1b[31m", "waiting": "\x1b[36m"}

// colour is text in the colour of a result, on a terminal.
func (c *cli) colour(result, text string) string {
	code := colours[result]
	f, isFile := c.out.(*os.File)
	if code == "" || os.Getenv("NO_COLOR") != "" || !isFile || !term.IsTerminal(int(f.Fd())) {
		return text
	}
	return code + text + "\x1b[0m"
}

// printLog prints records as lines; what was asked for otherwise (columns, CSV, wide, JSON) as every list.
func (c *cli) printLog(items []json.RawMessage) error {
	if c.output != asTable || len(c.columns) > 0 {
		return c.printList(items, "time", "kind", "result", "productSN", "deviceSN", "messageID", "topic", "payload")
	}
	rows := make([][]string, 0, len(items)+1)
	var results []string
	if !c.noHeaders {
		rows, results = append(rows, []string{"time", "kind", "result", "device", "message", "what"}), append(results, "")
	}
	for _, item := range items {
		var r apitype.MessageRecord
		if err := json.Unmarshal(item, &r); err != nil {
			return fmt.Errorf("read a record: %w", err)
		}
		device := r.DeviceSN
		if r.ProductSN != "" {
			device = r.ProductSN + "/" + device
		}
		device = cmp.Or(device, oneLine(r.Application))
		rows = append(rows, []string{r.Time.Local().Format("01-02 15:04:05.000"), string(r.Kind), string(r.Result), device,
			cmp.Or(r.MessageID, "-"), oneLine(whatOf(&r))})
		results = append(results, string(r.Result))
	}
	var table strings.Builder
	if err := writeTable(&table, rows, c.width()); err != nil {
		return err
	}
	i := 0
	for line := range strings.Lines(table.String()) {
		if _, err := io.WriteString(c.out, c.colour(results[i], strings.TrimSuffix(line, "\n"))+"\n"); err != nil {
			return err
		}
		i++
	}
	return nil
}

// whatOf says in one line what a record tells: why, if something is wrong, else what.
func whatOf(r *apitype.MessageRecord) string {
	if r.LeftOut > 0 {
		return fmt.Sprintf("%d records are missing here: the log did not keep up", r.LeftOut)
	}
	what := strings.TrimSpace(r.Action + " " + shortTopic(r))
	if r.Kind == "device" {
		return r.Action + ": " + r.Payload
	}
	for i := range r.Hops {
		h := &r.Hops[i]
		if h.Result != "ok" && h.Result != "none" {
			return what + ": " + hopText(h)
		}
	}
	if r.Kind == "connection" {
		for i := range r.Hops {
			what += " " + strings.TrimSpace(r.Hops[i].Reason+" "+r.Hops[i].Detail)
		}
		return what
	}
	return what + " " + payloadOf(r)
}

// shortTopic is a topic without the device that stands beside it.
func shortTopic(r *apitype.MessageRecord) string {
	for _, prefix := range []string{"/$system/", "/"} {
		if rest, ok := strings.CutPrefix(r.Topic, prefix+r.ProductSN+"/"+r.DeviceSN+"/"); ok {
			return rest
		}
	}
	return r.Topic
}

func payloadOf(r *apitype.MessageRecord) string {
	text := cmp.Or(r.Payload, r.PayloadBase64)
	if r.Truncated {
		text += fmt.Sprintf("… (%d bytes)", r.Size)
	}
	return text
}

func hopText(h *apitype.MessageHop) string {
	text := h.Name
	if h.RetCode != 0 {
		text += fmt.Sprintf(" %d", h.RetCode)
	}
	for _, s := range []string{h.Reason, h.Detail} {
		if s != "" {
			text += " " + s
		}
	}
	return text
}

func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// printTimeline prints the records of one message, each with its hops.
func (c *cli) printTimeline(list *apitype.MessageRecordList) error {
	var b strings.Builder
	for i := range list.Items {
		r := &list.Items[i]
		head := fmt.Sprintf("%s  %s %s  %s", r.Time.Local().Format("2006-01-02 15:04:05.000"), r.Kind, r.Action, r.Result)
		if r.Microseconds > 0 {
			head += " in " + took(r.Microseconds)
		}
		fmt.Fprintf(&b, "%s\n", c.colour(string(r.Result), strings.Join(strings.Fields(head), " ")))
		for _, line := range [][2]string{{"message", r.MessageID}, {"device", r.ProductSN + "/" + r.DeviceSN}, {"by", oneLine(r.Application)},
			{"topic", r.Topic}, {"payload", oneLine(payloadOf(r))}, {"node", r.Node}} {
			if line[1] != "" && line[1] != "/" {
				fmt.Fprintf(&b, "  %-8s %s\n", line[0], line[1])
			}
		}
		rows := make([][]string, 0, len(r.Hops))
		for j := range r.Hops {
			h := &r.Hops[j]
			code := ""
			if h.RetCode != 0 {
				code = fmt.Sprint(h.RetCode)
			}
			why := strings.TrimSpace(h.Reason + "  " + h.Detail)
			rows = append(rows, []string{"   ", took(h.Microseconds), h.Name, h.Result, code, oneLine(why)})
		}
		if err := writeTable(&b, rows, 0); err != nil {
			return err
		}
		if r.MoreHops > 0 {
			fmt.Fprintf(&b, "     and %d more hops that were not kept\n", r.MoreHops)
		}
		b.WriteByte('\n')
	}
	if len(list.Missing) > 0 {
		fmt.Fprintf(&b, "no answer from %s: what they logged is missing here\n", strings.Join(list.Missing, ", "))
	}
	_, err := io.WriteString(c.out, b.String())
	return err
}

// took is a duration as people read it.
func took(us int64) string {
	d := time.Duration(us) * time.Microsecond
	switch {
	case d < time.Millisecond:
		return d.String()
	case d < time.Second:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}
