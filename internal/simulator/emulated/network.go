package emulated

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Dial connects to a port of the guest, whatever the host of the address is. It is the truth that a network tells:
// nothing listens there is "connection refused", and a guest that is not up yet answers nothing until ctx ends.
func (m *Machine) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("%s: %w", address, err)}
	}
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return fail(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil || !slices.Contains(m.options.Ports, port) {
		return fail(syscall.ECONNREFUSED)
	}
	m.mu.Lock()
	monitor := m.monitor
	m.mu.Unlock()
	if monitor == nil {
		<-ctx.Done() // a machine without power does not even refuse
		return fail(context.Cause(ctx))
	}
	conn, err := m.connect(ctx, monitor, port)
	if err != nil {
		return fail(err)
	}
	return conn, nil
}

// connect dials QEMU's forwarding, which accepts before the guest is asked, and waits for the guest's own answer.
func (m *Machine) connect(ctx context.Context, monitor *monitor, port int) (net.Conn, error) {
	conn, descriptor, err := m.forwarded(ctx, monitor, port)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		table, err := usernet(monitor)
		if err != nil {
			conn.Close()
			return nil, syscall.ECONNRESET
		}
		i := slices.IndexFunc(table, func(e entry) bool { return e.descriptor == descriptor && e.guestPort == port })
		switch {
		case i < 0:
			conn.Close()
			return nil, syscall.ECONNREFUSED
		case table[i].state != "SYN_SENT":
			return conn, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			conn.Close()
			return nil, context.Cause(ctx)
		}
	}
}

// forwarded opens a connection to QEMU and finds out which of its descriptors it is: the one that was not there before.
func (m *Machine) forwarded(ctx context.Context, monitor *monitor, port int) (net.Conn, int, error) {
	m.dials.Lock()
	defer m.dials.Unlock()
	before, err := usernet(monitor)
	if err != nil {
		return nil, 0, syscall.EHOSTUNREACH
	}
	i := slices.IndexFunc(before, func(e entry) bool { return e.state == "HOST_FORWARD" && e.guestPort == port })
	if i < 0 {
		return nil, 0, syscall.EHOSTUNREACH
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(before[i].hostPort)))
	if err != nil {
		return nil, 0, err
	}
	for range 50 { // QEMU accepts in its own time
		after, err := usernet(monitor)
		if err != nil {
			break
		}
		for _, e := range after {
			known := slices.ContainsFunc(before, func(b entry) bool { return b.descriptor == e.descriptor && b.guestPort == e.guestPort })
			if !known && e.guestPort == port && e.state != "HOST_FORWARD" {
				return conn, e.descriptor, nil
			}
		}
		if closed(conn) {
			break
		}
	}
	conn.Close()
	return nil, 0, syscall.ECONNREFUSED
}

// closed looks for the end of a connection for some milliseconds, without reading from it.
func closed(conn net.Conn) bool {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return true
	}
	gone := false
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	err = raw.Read(func(fd uintptr) bool {
		n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
		gone = n == 0 && err == nil || errors.Is(err, syscall.ECONNRESET)
		return !errors.Is(err, syscall.EAGAIN)
	})
	_ = conn.SetReadDeadline(time.Time{})
	return gone || err != nil && !isTimeout(err)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// entry is a line of what QEMU says about its user-mode network.
type entry struct {
	state               string
	descriptor          int
	hostPort, guestPort int
}

// usernet reads lines as "TCP[ESTABLISHED]   33   127.0.0.1  2299   10.0.2.15    22     0     0". The host port is that
// of the forwarding, also for its connections.
func usernet(monitor *monitor) ([]entry, error) {
	text, err := monitor.human("info usernet")
	if err != nil {
		return nil, err
	}
	var out []entry
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 6 || !strings.HasPrefix(f[0], "TCP[") {
			continue
		}
		e := entry{state: strings.TrimSuffix(strings.TrimPrefix(f[0], "TCP["), "]")}
		var errs [3]error
		e.descriptor, errs[0] = strconv.Atoi(f[1])
		e.hostPort, errs[1] = strconv.Atoi(f[3])
		e.guestPort, errs[2] = strconv.Atoi(f[5])
		if errors.Join(errs[:]...) == nil {
			out = append(out, e)
		}
	}
	return out, nil
}
