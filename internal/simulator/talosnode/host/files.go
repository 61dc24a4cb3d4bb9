package host

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// absolute is what List and DiskUsage make of a path: relative ones are taken from the root.
func absolute(name string) string { return path.Clean("/" + name) }

// List sends a directory and what is in it, down to the depth that is asked for.
func (h *Host) List(r *machine.ListRequest, s grpc.ServerStreamingServer[machine.FileInfo]) error {
	t, root, depth := h.tree(), absolute(r.Root), 1
	if r.Recurse {
		depth = -1
		if r.RecursionDepth > 0 {
			depth = int(r.RecursionDepth)
		}
	}
	all, err := t.walk(root, depth)
	if err != nil {
		return status.Error(codes.Unknown, err.Error())
	}
	for _, f := range all {
		if len(r.Types) > 0 && !slices.Contains(r.Types, kind(f)) {
			continue
		}
		err := s.Send(&machine.FileInfo{
			Name: f.Path, RelativeName: relative(root, f.Path, f.Dir), Size: f.size(), Mode: uint32(f.mode()),
			Modified: h.options.Booted.Unix(), IsDir: f.Dir, Link: f.Link,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func kind(f File) machine.ListRequest_Type {
	switch {
	case f.Dir:
		return machine.ListRequest_DIRECTORY
	case f.Link != "":
		return machine.ListRequest_SYMLINK
	}
	return machine.ListRequest_REGULAR
}

// Read sends a regular file.
func (h *Host) Read(r *machine.ReadRequest, s grpc.ServerStreamingServer[common.Data]) error {
	f, err := h.tree().stat(r.Path)
	if err != nil {
		return status.Error(codes.NotFound, err.Error())
	}
	if f.Dir {
		return status.Error(codes.Unknown, "path must be a regular file")
	}
	piece, from := make([]byte, block), f.open()
	for {
		n, err := io.ReadFull(from, piece)
		if n > 0 {
			if err := s.Send(&common.Data{Bytes: slices.Clone(piece[:n])}); err != nil {
				return err
			}
		}
		if err != nil {
			return nil // the end: it is in memory
		}
	}
}

// open reads the contents, zeroes where nobody gave any.
func (f File) open() io.Reader {
	return io.MultiReader(strings.NewReader(string(f.Contents)), io.LimitReader(zeroes{}, f.size()-int64(len(f.Contents))))
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Copy sends a file or a directory as tar.gz, in the pieces the compressor makes. A missing path is an error
// inside an answer.
func (h *Host) Copy(r *machine.CopyRequest, s grpc.ServerStreamingServer[common.Data]) error {
	t := h.tree()
	root := path.Clean(r.RootPath)
	all, err := t.walk(root, -1)
	if err != nil {
		return s.Send(&common.Data{Metadata: &common.Metadata{Error: err.Error()}})
	}
	zip := gzip.NewWriter(sender{s})
	archive := tar.NewWriter(zip)
	for _, f := range all {
		if err := h.pack(archive, root, f); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return zip.Close()
}

func (h *Host) pack(archive *tar.Writer, root string, f File) error {
	head := &tar.Header{
		Name: relative(root, f.Path, f.Dir), Typeflag: tar.TypeReg, Mode: int64(f.mode() & fs.ModePerm),
		Size: f.size(), ModTime: h.options.Booted, Linkname: f.Link,
	}
	switch {
	case f.Dir:
		head.Typeflag, head.Size = tar.TypeDir, 0
	case f.Link != "":
		head.Typeflag, head.Size = tar.TypeSymlink, 0
	}
	if err := archive.WriteHeader(head); err != nil {
		return err
	}
	if head.Typeflag != tar.TypeReg {
		return nil
	}
	_, err := io.Copy(archive, f.open())
	return err
}

// sender is a writer into a stream.
type sender struct {
	stream grpc.ServerStreamingServer[common.Data]
}

func (s sender) Write(p []byte) (int, error) {
	if err := s.stream.Send(&common.Data{Bytes: slices.Clone(p)}); err != nil {
		return 0, err
	}
	return len(p), nil
}

// DiskUsage sends the sizes of directories, the deepest first, and with All of files. A path that is missing is
// an error inside an answer if it is the first.
func (h *Host) DiskUsage(r *machine.DiskUsageRequest, s grpc.ServerStreamingServer[machine.DiskUsageInfo]) error {
	t := h.tree()
	for i, name := range r.Paths {
		root := absolute(name)
		all, err := t.walk(root, -1)
		if err != nil {
			if i > 0 {
				continue
			}
			return s.Send(&machine.DiskUsageInfo{Name: root, RelativeName: root, Error: err.Error()})
		}
		for _, info := range usage(all, root, r) {
			if err := s.Send(info); err != nil {
				return err
			}
		}
	}
	return nil
}

// usage sums up backwards: in the reverse of a walk every directory comes after what is in it.
func usage(all []File, root string, r *machine.DiskUsageRequest) []*machine.DiskUsageInfo {
	sums := map[string]int64{}
	var out []*machine.DiskUsageInfo
	for _, f := range slices.Backward(all) {
		sums[f.Path] += f.size()
		size := sums[f.Path]
		if f.Path != root {
			sums[path.Dir(f.Path)] += size
		}
		depth := int32(levels(f.Path) - levels(root))
		switch {
		case !f.Dir && !r.All,
			r.RecursionDepth > 0 && depth >= r.RecursionDepth,
			r.Threshold > 0 && size < r.Threshold,
			r.Threshold < 0 && size > -r.Threshold:
			continue
		}
		out = append(out, &machine.DiskUsageInfo{Name: f.Path, RelativeName: relative(root, f.Path, f.Dir), Size: size})
	}
	return out
}

// Mounts lists what is mounted. Checks of the disk size look at /var.
func (h *Host) Mounts(context.Context, *emptypb.Empty) (*machine.MountsResponse, error) {
	ram := uint64(h.options.Machine.MemoryBytes) / 2
	all := []*machine.MountStat{
		{Filesystem: "/dev/loop0", Size: 80 << 20, MountedOn: "/"},
		{Filesystem: "devtmpfs", Size: ram, Available: ram, MountedOn: "/dev"},
		{Filesystem: "tmpfs", Size: ram, Available: ram - ram>>10, MountedOn: "/run"},
		{Filesystem: "tmpfs", Size: ram, Available: ram - ram>>10, MountedOn: "/system"},
		{Filesystem: "tmpfs", Size: ram, Available: ram, MountedOn: "/tmp"},
		{Filesystem: "proc", MountedOn: "/proc"},
		{Filesystem: "sysfs", MountedOn: "/sys"},
	}
	if d := h.options.Machine.Disk(ask(h.options.SystemDisk)); d != nil && !ask(h.options.Maintenance) {
		size := uint64(d.SizeBytes) - min(uint64(d.SizeBytes), 3<<30) // what the small partitions leave
		for _, on := range []string{"/var", "/etc/cni", "/etc/kubernetes", "/usr/libexec/kubernetes", "/opt"} {
			all = append(all, &machine.MountStat{Filesystem: "/dev/" + partition(d.Name, 6), Size: size, Available: size - size/16, MountedOn: on})
		}
		all = append(all, &machine.MountStat{Filesystem: "/dev/" + partition(d.Name, 5), Size: 96 << 20, Available: 90 << 20, MountedOn: "/system/state"})
	}
	return &machine.MountsResponse{Messages: []*machine.Mounts{{Stats: all}}}, nil
}
