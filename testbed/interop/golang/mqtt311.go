package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// run311 is paho.mqtt.golang.
func run311(j job) error {
	opt := mqtt.NewClientOptions().AddBroker(fmt.Sprintf("%s://%s:%d", scheme(j), j.Host, j.Port)).
		SetClientID(j.ClientID).SetUsername(j.Username).SetPassword(j.Password).
		SetProtocolVersion(4).SetCleanSession(false).SetResumeSubs(true).SetOrderMatters(true).
		SetKeepAlive(time.Minute).SetConnectRetry(true).SetConnectRetryInterval(10 * time.Millisecond).
		SetAutoReconnect(true).SetMaxReconnectInterval(20 * time.Millisecond)
	if j.TLS {
		cfg, err := trust(j.CA)
		if err != nil {
			return err
		}
		opt.SetTLSConfig(cfg)
	}
	got := func(_ mqtt.Client, m mqtt.Message) { say(event{Got: string(m.Payload())}) }
	opt.SetDefaultPublishHandler(got) // what a kept session brings before anything is subscribed here
	var first sync.Once
	begin := make(chan struct{})
	opt.SetOnConnectHandler(func(mqtt.Client) {
		first.Do(func() { close(begin) })
	})
	c := mqtt.NewClient(opt)
	t := c.Connect()
	<-begin
	if ct, ok := t.(*mqtt.ConnectToken); ok && t.Wait() && ct.SessionPresent() {
		say(event{Present: true, Subscribed: true})
	} else if j.Subscribe != "" {
		if t := c.Subscribe(j.Subscribe, 2, got); t.Wait() && t.Error() != nil {
			return fmt.Errorf("subscribe: %w", t.Error())
		}
		say(event{Subscribed: true})
	}
	for n := 1; n <= j.Count; n++ {
		t := c.Publish(j.Topic, j.QoS, false, fmt.Sprintf(`{"n":%d}`, n))
		go func() {
			if t.Wait(); t.Error() == nil {
				say(event{Acked: n})
			}
		}()
		time.Sleep(time.Duration(j.Pause) * time.Millisecond)
	}
	untilEnd()
	c.Disconnect(250)
	return nil
}

func scheme(j job) string {
	if j.TLS {
		return "ssl"
	}
	return "tcp"
}

func trust(file string) (*tls.Config, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: no certificate", file)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, nil
}
