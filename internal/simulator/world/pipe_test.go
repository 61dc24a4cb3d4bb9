package world

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/net/nettest"
)

// ends of a connection, closed at the end of the test.
func ends(t *testing.T) (here, there net.Conn) {
	t.Helper()
	here, there = pipe(simAddr("here"), simAddr("there"))
	t.Cleanup(func() { here.Close(); there.Close() })
	return here, there
}

func TestPipeIsAConnection(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		c1, c2 = pipe(simAddr("here"), simAddr("there"))
		return c1, c2, func() { c1.Close(); c2.Close() }, nil
	})
}

func TestPipeWriterWaitsForItsReader(t *testing.T) {
	here, there := ends(t)
	here.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	sent, err := here.Write(make([]byte, window+1))
	if sent != window || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%d bytes, %v; want a full window of %d, then the deadline", sent, err, window)
	}
	here.SetWriteDeadline(time.Time{})
	rest := make(chan error, 1)
	go func() { _, err := here.Write([]byte("more")); rest <- err }()
	if _, err := io.ReadFull(there, make([]byte, window)); err != nil {
		t.Fatal(err)
	}
	if err := <-rest; err != nil {
		t.Errorf("after the reader made room: %v", err)
	}
}

func TestPipeBothEndsMayWriteFirst(t *testing.T) {
	here, there := ends(t)
	for _, c := range []net.Conn{here, there} { // as SSH does with its banners
		if _, err := c.Write([]byte("SSH-2.0-x\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []net.Conn{here, there} {
		if _, err := io.ReadFull(c, make([]byte, 11)); err != nil {
			t.Error(err)
		}
	}
}

func TestPipeHalfCloseKeepsTheOtherDirection(t *testing.T) {
	here, there := ends(t)
	here.Write([]byte("question"))
	here.(interface{ CloseWrite() error }).CloseWrite()
	if got, err := io.ReadAll(there); string(got) != "question" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := there.Write([]byte("answer")); err != nil {
		t.Error(err)
	}
	there.Close()
	if got, err := io.ReadAll(here); string(got) != "answer" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestPipeEndsWhatWaitsWhenItCloses(t *testing.T) {
	for reason, waiter := range map[string]func(c net.Conn) error{
		"a reader": func(c net.Conn) error { _, err := c.Read(make([]byte, 1)); return err },
		"a writer": func(c net.Conn) error { _, err := c.Write(make([]byte, 2*window)); return err },
	} {
		for who, closes := range map[string]int{"itself": 0, "the other side": 1} {
			here, there := ends(t)
			ended := make(chan error, 1)
			go func() { ended <- waiter(here) }()
			[]net.Conn{here, there}[closes].Close()
			select {
			case err := <-ended:
				if err == nil {
					t.Errorf("%s whose connection %s closes gets no error", reason, who)
				}
			case <-time.After(5 * time.Second):
				t.Errorf("%s whose connection %s closes waits for ever", reason, who)
			}
		}
	}
}

func TestPipeCarriesMuchInOrder(t *testing.T) {
	here, there := ends(t)
	want := bytes.Repeat([]byte("0123456789abcdef!"), 300_000) // 5 MB, not a multiple of the window
	go func() { here.Write(want); here.Close() }()
	if got, err := io.ReadAll(there); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
	}
}
