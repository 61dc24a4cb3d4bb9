package host

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// block is the size of the pieces in which logs and files come.
const block = 1024

// Logs are the logs of a node's services, kept in memory as Talos does, for one boot.
type Logs struct {
	mu   sync.Mutex
	logs map[string]*ring
}

// NewLogs makes empty logs.
func NewLogs() *Logs { return &Logs{logs: map[string]*ring{}} }

// Service gives the log of a service, registered from now on. A Write is one or more whole lines.
func (l *Logs) Service(id string) io.Writer {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.logs[id] == nil {
		l.logs[id] = newRing()
	}
	return l.logs[id]
}

func (l *Logs) find(id string) *ring {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.logs[id]
}

func (l *Logs) ids() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.logs))
}

// Dmesg is the kernel log of one boot. Readers get every message by itself.
type Dmesg struct{ log *ring }

// NewDmesg makes an empty kernel log.
func NewDmesg() *Dmesg { return &Dmesg{newRing()} }

// Kernel logs a message of the kernel.
func (d *Dmesg) Kernel(message string) { d.write("kern:    info", message) }

// User logs what Talos writes to the console, which it does through the kernel.
func (d *Dmesg) User(message string) { d.write("user: warning", "[talos] "+message) }

func (d *Dmesg) write(kind, message string) {
	fmt.Fprintf(d.log, "%s: [%s]: %s\n", kind, time.Now().UTC().Format("2006-01-02T15:04:05.999999999Z"), message)
}

// Dmesg sends the kernel log: all of it, or with tail only what comes.
func (h *Host) Dmesg(r *machine.DmesgRequest, s grpc.ServerStreamingServer[common.Data]) error {
	lines := -1
	if r.Tail {
		lines = 0
	}
	log := h.options.Dmesg.log
	return log.read(s.Context(), log.tail(lines), r.Follow, func(text []byte) error {
		for line := range bytes.Lines(text) {
			if err := s.Send(&common.Data{Bytes: line}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Logs sends the last lines of a service's or a container's log: none if the client does not say how many, all
// for a negative number.
func (h *Host) Logs(r *machine.LogsRequest, s grpc.ServerStreamingServer[common.Data]) error {
	if r.Driver == common.ContainerDriver_CRI {
		return h.containerLog(r, s)
	}
	log := h.options.Logs.find(r.Id)
	if log == nil {
		return status.Errorf(codes.Unknown, "log %q was not registered", r.Id)
	}
	return log.read(s.Context(), log.tail(int(r.TailLines)), r.Follow, pieces(s))
}

// containerLog answers for containers of pods, which run nothing and so say nothing.
func (h *Host) containerLog(r *machine.LogsRequest, s grpc.ServerStreamingServer[common.Data]) error {
	if _, err := h.container(r.Namespace, r.Id); err != nil {
		return err
	}
	if r.Follow {
		<-s.Context().Done()
		return status.FromContextError(s.Context().Err()).Err()
	}
	return nil
}

// pieces cuts what it gets.
func pieces(s grpc.ServerStreamingServer[common.Data]) func([]byte) error {
	return func(text []byte) error {
		for piece := range slices.Chunk(text, block) {
			if err := s.Send(&common.Data{Bytes: piece}); err != nil {
				return err
			}
		}
		return nil
	}
}

// LogsContainers lists the services that have a log.
func (h *Host) LogsContainers(context.Context, *emptypb.Empty) (*machine.LogsContainersResponse, error) {
	return &machine.LogsContainersResponse{Messages: []*machine.LogsContainer{{Ids: h.options.Logs.ids()}}}, nil
}
