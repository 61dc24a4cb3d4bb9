package apid

import (
	"errors"
	"net"
	"time"
)

// Server is one API server. It serves one listener once.
type Server struct{ options Options }

// New makes a server.
func New(o Options) *Server { return &Server{options: o} }

// Serve accepts until Stop; then it gives nil. It closes l.
func (s *Server) Serve(l net.Listener) error {
	return errors.Join(errors.ErrUnsupported, l.Close())
}

// Stop closes the listener at once, lets calls end for at most grace (of the clock on the wall), then cuts them.
// A real node gives 10 s; 0 is a power cut. It returns when nothing runs any more.
func (s *Server) Stop(grace time.Duration) { _ = grace }
