package emulated

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
)

// Console is what a machine said on its serial port, over all its boots.
type Console struct {
	mu      sync.Mutex
	text    strings.Builder
	cursor  int           // Await looks behind it
	changed chan struct{} // closed with the next text
}

func newConsole() *Console { return &Console{changed: make(chan struct{})} }

// Write adds to it.
func (c *Console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.Write(p)
	close(c.changed)
	c.changed = make(chan struct{})
	return len(p), nil
}

// control are the terminal's control sequences and characters, with which firmwares paint.
var control = regexp.MustCompile(`\x1b(\[[0-9;?=]*[A-Za-z]|[()][A-Za-z0-9]|[A-Za-z])|[\x00-\x08\x0b-\x1f]`)

// String is everything, without a terminal's control sequences.
func (c *Console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return control.ReplaceAllString(c.text.String(), "")
}

// Await waits until a line with this text appears behind what earlier calls found, and gives the line. It looks at
// lines that are complete.
func (c *Console) Await(ctx context.Context, text string) (string, error) {
	for {
		line, changed := c.find(text)
		if line != "" {
			return line, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", fmt.Errorf("the console never said %q: %w", text, context.Cause(ctx))
		}
	}
}

func (c *Console) find(text string) (string, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rest := c.text.String()[c.cursor:]
	for line := range strings.Lines(rest) {
		if !strings.HasSuffix(line, "\n") {
			break
		}
		clean := strings.TrimSpace(control.ReplaceAllString(line, ""))
		c.cursor += len(line)
		if strings.Contains(clean, text) {
			return clean, nil
		}
	}
	return "", c.changed
}

// tail is the last lines, for a test's log.
func (c *Console) tail(lines int) string {
	all := strings.Split(c.String(), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
