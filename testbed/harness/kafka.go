package harness

import (
	"bufio"
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// Kcat runs kcat (librdkafka), a Kafka client that we did not write, and returns its standard output. When it is not
// installed, it is installed with apt-get, which needs root.
func Kcat(e Env, args ...string) string {
	e.Helper()
	return KcatWrite(e, "", args...)
}

// KcatWrite is Kcat with something at its standard input.
func KcatWrite(e Env, input string, args ...string) string {
	e.Helper()
	needKcat(e)
	cmd := exec.Command("kcat", append([]string{"-m", "60"}, args...)...) // a cluster that has just come back says within that where its topics are
	cmd.Stdin = strings.NewReader(input)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		e.Fatalf("kcat %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String()
}

func needKcat(e Env) {
	e.Helper()
	if _, err := exec.LookPath("kcat"); err == nil {
		return
	}
	aptInstall(e, "kcat")
}

var mockServers = regexp.MustCompile(`bootstrap\.servers=([0-9.:,]+)`)

// LibrdkafkaCluster starts the mock cluster of librdkafka, three brokers that were written in C by others, in a kcat that has
// nothing else to do, and returns their addresses. It makes topics when they are asked for; what it holds goes with e.
func LibrdkafkaCluster(e Env) []string {
	e.Helper()
	needKcat(e)
	// The producer at its standard input, which never gets a line, keeps it alive.
	cmd := exec.Command("kcat", "-b", "mock", "-X", "test.mock.num.brokers=3", "-d", "mock", "-P", "-t", "idle")
	in, err := cmd.StdinPipe()
	if err != nil {
		e.Fatalf("mock cluster: %v", err)
	}
	errs, err := cmd.StderrPipe()
	if err != nil {
		e.Fatalf("mock cluster: %v", err)
	}
	if err := startChild(cmd); err != nil {
		e.Fatalf("mock cluster: %v", err)
	}
	found := make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for sc := bufio.NewScanner(errs); sc.Scan(); {
			if m := mockServers.FindStringSubmatch(sc.Text()); m != nil {
				select {
				case found <- m[1]:
				default:
				}
			}
		}
	}()
	e.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait()
	})
	select {
	case addrs := <-found:
		return strings.Split(addrs, ",")
	case <-time.After(time.Minute):
		e.Fatalf("mock cluster said no addresses within a minute")
		return nil
	}
}
