package host

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// images are what containerd holds, by namespace. They last one boot here; a real node keeps them on EPHEMERAL.
type images struct {
	host *Host
	name *regexp.Regexp

	mu   sync.Mutex
	held map[place][]image
}

// place is a namespace of one of the two containerds: Talos' own (CONTAINERD) or that of the pods, which also holds
// the images of etcd, the kubelet and installers (CRI, namespace system).
type place struct {
	driver    common.ContainerDriver
	namespace common.ContainerdNamespace
}

func at(c *common.ContainerdInstance) place { return place{c.GetDriver(), c.GetNamespace()} }

type image struct {
	name string
	at   time.Time
}

func newImages(h *Host) *images {
	return &images{
		host: h, held: map[place][]image{},
		// the grammar of github.com/distribution/reference, as far as it matters
		name: regexp.MustCompile(`^[a-z0-9]+([._-][a-z0-9]+)*(:[0-9]+)?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*(:[\w][\w.-]{0,127})?(@sha256:[0-9a-f]{64})?$`),
	}
}

// pull fetches an image, as ImageService and MachineService do.
func (h *Host) pull(ns place, ref string) error {
	i := h.images
	if !i.name.MatchString(ref) {
		return status.Errorf(codes.Unknown, "failed to parse image reference %q: invalid reference format", ref)
	}
	exists := h.options.ImageExists
	if exists == nil {
		exists = func(ref string) bool { return !strings.Contains(ref, "nosuch") && !strings.HasSuffix(ref, ":v9.9.9") }
	}
	if !exists(ref) {
		return status.Errorf(codes.NotFound, "error pulling image: 1 error(s) occurred:\n\tfailed to pull image %q: "+
			"failed to resolve reference %q: %s: not found", ref, ref, ref)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if !slices.ContainsFunc(i.held[ns], func(m image) bool { return m.name == ref }) {
		i.held[ns] = append(i.held[ns], image{ref, time.Now()})
	}
	return nil
}

// HasImage says whether an image was pulled into a namespace of the pods' containerd, where an upgrade looks for
// its installer.
func (h *Host) HasImage(ns common.ContainerdNamespace, ref string) bool {
	return h.holds(place{common.ContainerDriver_CRI, ns}, ref)
}

func (h *Host) holds(ns place, ref string) bool {
	h.images.mu.Lock()
	defer h.images.mu.Unlock()
	return slices.ContainsFunc(h.images.held[ns], func(m image) bool { return m.name == ref })
}

// list gives what is held and what runs, every image under both its names: by tag and by digest.
func (h *Host) list(ns place) []image {
	h.images.mu.Lock()
	all := slices.Clone(h.images.held[ns])
	h.images.mu.Unlock()
	for _, ref := range h.used(ns) {
		if !slices.ContainsFunc(all, func(m image) bool { return m.name == ref }) {
			all = append(all, image{ref, h.options.Booted})
		}
	}
	for _, m := range slices.Clone(all) {
		if repository, _, tagged := cut(m.name); tagged {
			all = append(all, image{repository + "@sha256:" + digest(m.name), m.at})
		}
	}
	slices.SortFunc(all, func(a, b image) int { return strings.Compare(a.name, b.name) })
	return all
}

// used are the images of what runs.
func (h *Host) used(ns place) []string {
	var all []string
	switch ns {
	case place{common.ContainerDriver_CRI, common.ContainerdNamespace_NS_SYSTEM}:
		for _, p := range ask(h.options.Services) {
			if p.Image != "" {
				all = append(all, p.Image)
			}
		}
	case place{common.ContainerDriver_CRI, common.ContainerdNamespace_NS_CRI}:
		for _, p := range ask(h.options.Pods) {
			for _, c := range p.Containers {
				all = append(all, c.Image)
			}
		}
	}
	return all
}

// cut takes the tag off a reference.
func cut(ref string) (repository, tag string, tagged bool) {
	i := strings.LastIndexByte(ref, ':')
	if i < 0 || strings.Contains(ref, "@") || strings.Contains(ref[i:], "/") {
		return ref, "", false
	}
	return ref[:i], ref[i+1:], true
}

// sum is the digest of an image's content: the same for both of its names.
func (m image) sum() string {
	if _, sum, ok := strings.Cut(m.name, "@"); ok {
		return sum
	}
	return "sha256:" + digest(m.name)
}

// ImageList is the older way to list images. Before there is a disk containerd has no place for images, and the
// call waits for it.
func (h *Host) ImageList(r *machine.ImageListRequest, s grpc.ServerStreamingServer[machine.ImageListResponse]) error {
	if r.Namespace == common.ContainerdNamespace_NS_UNKNOWN {
		return status.Errorf(codes.InvalidArgument, "invalid namespace %s", r.Namespace)
	}
	if ask(h.options.Maintenance) {
		<-s.Context().Done()
		return status.FromContextError(s.Context().Err()).Err()
	}
	for _, m := range h.list(place{common.ContainerDriver_CRI, r.Namespace}) {
		if err := s.Send(&machine.ImageListResponse{Name: m.name, Digest: m.sum(), Size: 30 << 20, CreatedAt: timestamppb.New(m.at)}); err != nil {
			return err
		}
	}
	return nil
}

// ImagePull is the older way to pull an image.
func (h *Host) ImagePull(_ context.Context, r *machine.ImagePullRequest) (*machine.ImagePullResponse, error) {
	if err := h.pull(place{common.ContainerDriver_CRI, r.Namespace}, r.Reference); err != nil {
		return nil, err
	}
	return &machine.ImagePullResponse{Messages: []*machine.ImagePull{{}}}, nil
}

type imageService struct {
	machine.UnimplementedImageServiceServer
	host *Host
}

func known(c *common.ContainerdInstance) error {
	if c.GetNamespace() == common.ContainerdNamespace_NS_UNKNOWN {
		return status.Errorf(codes.InvalidArgument, "invalid containerd namespace %s", c.GetNamespace())
	}
	return nil
}

// List sends the images of a namespace.
func (i imageService) List(r *machine.ImageServiceListRequest, s grpc.ServerStreamingServer[machine.ImageServiceListResponse]) error {
	if err := known(r.Containerd); err != nil {
		return err
	}
	for _, m := range i.host.list(at(r.Containerd)) {
		err := s.Send(&machine.ImageServiceListResponse{
			Name: m.name, Digest: m.sum(), Size: 30 << 20, CreatedAt: timestamppb.New(m.at),
			Labels: map[string]string{"io.cri-containerd.image": "managed"},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Pull sends the progress of one layer and then the image's name by digest.
func (i imageService) Pull(r *machine.ImageServicePullRequest, s grpc.ServerStreamingServer[machine.ImageServicePullResponse]) error {
	if err := known(r.Containerd); err != nil {
		return err
	}
	if err := i.host.pull(at(r.Containerd), r.ImageRef); err != nil {
		return err
	}
	for _, state := range []machine.ImageServicePullLayerProgress_Status{
		machine.ImageServicePullLayerProgress_DOWNLOAD_COMPLETE, machine.ImageServicePullLayerProgress_EXTRACT_COMPLETE,
	} {
		err := s.Send(&machine.ImageServicePullResponse{Response: &machine.ImageServicePullResponse_PullProgress{
			PullProgress: &machine.ImageServicePullProgress{
				LayerId:  digest("layer", r.ImageRef)[:12],
				Progress: &machine.ImageServicePullLayerProgress{Status: state, Elapsed: durationpb.New(0)},
			},
		}})
		if err != nil {
			return err
		}
	}
	repository, _, _ := cut(r.ImageRef)
	name := repository + "@" + image{name: r.ImageRef}.sum()
	if strings.Contains(r.ImageRef, "@") {
		name = r.ImageRef
	}
	return s.Send(&machine.ImageServicePullResponse{Response: &machine.ImageServicePullResponse_Name{Name: name}})
}

// Remove forgets an image.
func (i imageService) Remove(_ context.Context, r *machine.ImageServiceRemoveRequest) (*emptypb.Empty, error) {
	if err := known(r.Containerd); err != nil {
		return nil, err
	}
	if !i.host.holds(at(r.Containerd), r.ImageRef) {
		return nil, status.Errorf(codes.NotFound, "image %s not found", r.ImageRef)
	}
	all := i.host.images
	all.mu.Lock()
	defer all.mu.Unlock()
	all.held[at(r.Containerd)] = slices.DeleteFunc(all.held[at(r.Containerd)], func(m image) bool { return m.name == r.ImageRef })
	return &emptypb.Empty{}, nil
}

// Verify finds no rule: a node has none unless its config says so.
func (imageService) Verify(context.Context, *machine.ImageServiceVerifyRequest) (*machine.ImageServiceVerifyResponse, error) {
	return &machine.ImageServiceVerifyResponse{Message: "no matched rule"}, nil
}
