package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/session"
)

// run5 is paho.golang.
func run5(j job) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cfg, begin, err := config5(ctx, j)
	if err != nil {
		return err
	}
	cm, err := autopaho.NewConnection(ctx, cfg)
	if err != nil {
		return err
	}
	<-begin
	for n := 1; n <= j.Count; n++ {
		go publish5(ctx, cm, j, n)
		time.Sleep(time.Duration(j.Pause) * time.Millisecond)
	}
	untilEnd()
	return cm.Disconnect(ctx)
}

// config5 is the client's configuration; begin is closed with the first connection.
func config5(ctx context.Context, j job) (cfg autopaho.ClientConfig, begin chan struct{}, err error) {
	u, err := url.Parse(fmt.Sprintf("%s://%s:%d", map[bool]string{false: "mqtt", true: "tls"}[j.TLS], j.Host, j.Port))
	if err != nil {
		return cfg, nil, err
	}
	begin = make(chan struct{})
	var first sync.Once
	cfg = autopaho.ClientConfig{
		ServerUrls: []*url.URL{u}, KeepAlive: 60, SessionExpiryInterval: 300,
		ReconnectBackoff: func(int) time.Duration { return 10 * time.Millisecond },
		ConnectUsername:  j.Username, ConnectPassword: []byte(j.Password),
		OnConnectionUp: func(cm *autopaho.ConnectionManager, ack *paho.Connack) {
			go func() {
				subscribe5(ctx, cm, j, ack)
				first.Do(func() { close(begin) })
			}()
		},
	}
	cfg.ClientID, cfg.PacketTimeout = j.ClientID, time.Minute
	cfg.OnPublishReceived = []func(paho.PublishReceived) (bool, error){func(p paho.PublishReceived) (bool, error) {
		say(event{Got: string(p.Packet.Payload)})
		return true, nil
	}}
	if j.TLS {
		cfg.TlsCfg, err = trust(j.CA)
	}
	return cfg, begin, err
}

func subscribe5(ctx context.Context, cm *autopaho.ConnectionManager, j job, ack *paho.Connack) {
	if !ack.SessionPresent && j.Subscribe != "" {
		if _, err := cm.Subscribe(ctx, &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: j.Subscribe, QoS: 2}}}); err != nil {
			fmt.Fprintln(os.Stderr, "subscribe:", err)
			return
		}
	}
	say(event{Present: ack.SessionPresent, Subscribed: true})
}

// publish5 publishes until the message is in the client's session, which sends it again by itself.
func publish5(ctx context.Context, cm *autopaho.ConnectionManager, j job, n int) {
	for {
		_, err := cm.Publish(ctx, &paho.Publish{Topic: j.Topic, QoS: j.QoS, Payload: fmt.Appendf(nil, `{"n":%d}`, n)})
		switch {
		case err == nil:
			say(event{Acked: n})
			return
		case errors.Is(err, autopaho.ConnectionDownError), errors.Is(err, session.ErrNoConnection):
			time.Sleep(5 * time.Millisecond)
		default:
			fmt.Fprintln(os.Stderr, "publish:", n, err)
			return
		}
	}
}
