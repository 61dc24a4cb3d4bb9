package web_test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/talos-manager/talos-manager/internal/fleet"
	"github.com/talos-manager/talos-manager/internal/web"
	"github.com/talos-manager/talos-manager/internal/workflow"
)

// Two hundred people follow one install: each gets every line once, and the records are read as if it were one.
func TestAnOperationIsStreamedToMany(t *testing.T) {
	t.Parallel()
	const people, lines = 200, 40
	l := newLab(t)
	cluster := l.webServers(t, 1)
	id := l.installAt(t, "web-0", cluster, time.Now(), 5)
	var looks atomic.Int64
	server := httptest.NewServer(web.LiveOperations(web.Parts{Manager: l.app.Manager, Operations: l.app.Operations, Log: l.app.Manager.Log}, &looks))
	defer server.Close()

	var ready, over sync.WaitGroup
	var wrong atomic.Int64
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: people}, Timeout: time.Minute}
	for range people {
		ready.Add(1)
		over.Go(func() {
			if err := follow(client, server.URL+"/live/operations/"+id, lines, ready.Done); err != nil && wrong.Add(1) == 1 {
				t.Error(err)
			}
		})
	}
	ready.Wait()
	before, begun := looks.Load(), time.Now()
	for i := range lines {
		l.change(t, id, workflow.Change{State: fleet.Waiting, Release: true, Log: []fleet.LogLine{{At: time.Now(), Step: "choose the disk", Level: "info", Text: fmt.Sprintf("told %d.", i)}}})
	}
	over.Wait()
	took := time.Since(begun)
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d of %d streams went wrong", n, people)
	}
	n := looks.Load() - before
	t.Logf("%d lines to %d streams in %s with %d looks; %d looks to begin", lines, people, took, n, before)
	if most := int64(took/(300*time.Millisecond)) + 2; n > most {
		t.Errorf("%d looks in %s, want at most %d", n, took, most)
	}
	if most := int64(people / 4); before > most {
		t.Errorf("%d looks for %d streams to begin, want at most %d", before, people, most)
	}
}

// follow reads a stream until it had all lines, in order and each once. begun is called at the first event.
func follow(client *http.Client, address string, lines int, begun func()) error {
	var once sync.Once
	defer once.Do(begun)
	r, err := client.Get(address)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	next := 0
	for text := bufio.NewScanner(r.Body); next < lines && text.Scan(); {
		once.Do(begun)
		_, rest, told := strings.Cut(text.Text(), "<span>told ")
		if !told {
			continue
		}
		if want := fmt.Sprintf("%d.", next); !strings.HasPrefix(rest, want) {
			return fmt.Errorf("line %q came, want %s", text.Text(), want)
		}
		next++
	}
	if next < lines {
		return fmt.Errorf("the stream ended after %d lines", next)
	}
	return nil
}

// A stream that ends lets go of its page; the next one begins anew.
func TestAPageIsWatchedOnlyWhileSomebodyLooks(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	id := l.installAt(t, "web-0", l.webServers(t, 1), time.Now(), 5)
	var looks atomic.Int64
	server := httptest.NewServer(web.LiveOperations(web.Parts{Manager: l.app.Manager, Operations: l.app.Operations, Log: l.app.Manager.Log}, &looks))
	for range 2 {
		if err := follow(server.Client(), server.URL+"/live/operations/"+id, 0, func() {}); err != nil {
			t.Fatal(err)
		}
	}
	server.Close() // ends when the streams have
	before := looks.Load()
	l.change(t, id, workflow.Change{State: fleet.Waiting, Release: true})
	if n := looks.Load(); n != before || n == 0 {
		t.Errorf("%d looks, and %d before the change", n, before)
	}
}
