package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"go.yaml.in/yaml/v3"
)

// place is a hub with a way in: what flags and environment do not say comes from it.
type place struct {
	Hub      string `yaml:"hub"`
	CA       string `yaml:"ca,omitempty"`
	Insecure bool   `yaml:"insecure,omitempty"`
	Project  string `yaml:"project,omitempty"`
	Login    string `yaml:"login,omitempty"` // whose session it is
	Token    string `yaml:"token,omitempty"` // a session or an API key
}

// config is the file with the contexts.
type config struct {
	Current  string           `yaml:"current,omitempty"`
	Contexts map[string]place `yaml:"contexts"`

	file string
}

// contextName keeps names to what a shell takes as they are.
var contextName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:@-]{0,63}$`)

// configFile is HAWSERCTL_CONFIG, or hawser/config.yaml in the user's folder for such.
func configFile() (string, error) {
	if name := os.Getenv("HAWSERCTL_CONFIG"); name != "" {
		return name, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", usageError{fmt.Errorf("%w: set HAWSERCTL_CONFIG", err)}
	}
	return filepath.Join(dir, "hawser", "config.yaml"), nil
}

// readConfig reads the file; one that is not there has no contexts.
func readConfig() (*config, error) {
	c := &config{Contexts: map[string]place{}}
	var err error
	if c.file, err = configFile(); err != nil {
		return c, nil // no home, no contexts: flags and environment do
	}
	b, err := os.ReadFile(c.file)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, usageError{err}
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		return nil, usageError{fmt.Errorf("%s: %w", c.file, err)}
	}
	if c.Contexts == nil {
		c.Contexts = map[string]place{}
	}
	return c, nil
}

// write replaces the file at once, for nobody else to read: there are sessions in it.
func (c *config) write() error {
	if c.file == "" {
		_, err := configFile()
		return err
	}
	b, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	dir := filepath.Dir(c.file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".config-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), c.file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// settle fills in what no flag says: from the environment, then from the context, then from the defaults.
func (c *cli) settle() error {
	conf, err := readConfig()
	if err != nil {
		return err
	}
	c.config = conf
	if c.context == "" {
		c.context = os.Getenv("HAWSER_CONTEXT")
	}
	named := c.context != ""
	if !named {
		c.context = conf.Current
	}
	at, known := conf.Contexts[c.context]
	if named && !known && !c.newContext {
		return usageError{fmt.Errorf("--context %q: there is no such context in %s; hawserctl context list shows them", c.context, conf.file)}
	}
	c.hub = either(c.hub, os.Getenv("HAWSER_HUB"), at.Hub, defaultHub)
	c.project = either(c.project, os.Getenv("HAWSER_PROJECT"))
	c.apiKey = either(c.apiKey, os.Getenv("HAWSER_API_KEY")) // not the flag's default: help would print it
	c.ca = either(c.ca, os.Getenv("HAWSER_CA"))
	if c.hub == at.Hub { // what belongs to one hub is not shown to another
		c.ca, c.insecure = either(c.ca, at.CA), c.insecure || at.Insecure
		c.project = either(c.project, at.Project)
		c.apiKey = either(c.apiKey, at.Token)
	}
	return nil
}

// either is the first that is not empty.
func either(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
