package talosnode

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash/fnv"
	"regexp"

	"github.com/siderolabs/talos/pkg/machinery/api/common"
	"github.com/siderolabs/talos/pkg/machinery/api/machine"
	"google.golang.org/grpc"
)

// A snapshot of the simulator is a bolt file with etcd's buckets, empty, with the key of the Kubernetes state in a
// page that bolt does not use, and the checksum behind it that talosctl asks for.
const (
	snapshotSize = 64 << 10
	snapshotKey  = "talosnode-etcd:"
	chunkSize    = 1024
	boltPage     = 4096
)

// EtcdSnapshot implements machine.MachineServiceServer; it needs no quorum.
func (v *server) EtcdSnapshot(_ *machine.EtcdSnapshotRequest, out grpc.ServerStreamingServer[common.Data]) error {
	e, _, err := v.ownEtcd(out.Context(), "etcd snapshot")
	if err != nil {
		return err
	}
	v.node.env.Clusters.with(func() { e.copied = true })
	data := boltFile()
	copy(data[8*boltPage:], snapshotKey+hex.EncodeToString([]byte(e.kube))+"\n")
	sum := sha256.Sum256(data)
	data = append(data, sum[:]...) // etcd's Maintenance.Snapshot ends with it
	for len(data) > 0 {
		n := min(chunkSize, len(data))
		if err := out.Send(&common.Data{Bytes: data[:n]}); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// boltFile is a database with empty buckets in the format of go.etcd.io/bbolt (page.go, meta.go, bucket.go), version
// 2, little-endian: pages 0 and 1 say where the others are, 2 lists free pages, 3 is the root.
func boltFile() []byte {
	const (
		leaf, meta, freelist = 0x02, 0x04, 0x10
		magic, version       = 0xED0CDAED, 2
		header, checked      = 16, 56 // bytes of a page's header, of a meta before its checksum
	)
	data := make([]byte, snapshotSize)
	le := binary.LittleEndian
	for id, kind := range []uint16{meta, meta, freelist, leaf} {
		page := data[id*boltPage:]
		le.PutUint64(page, uint64(id))
		le.PutUint16(page[8:], kind)
		if kind != meta {
			continue
		}
		m := page[header:]
		le.PutUint32(m, magic)
		le.PutUint32(m[4:], version)
		le.PutUint32(m[8:], boltPage)
		le.PutUint64(m[16:], 3)          // the root bucket's page
		le.PutUint64(m[32:], 2)          // the freelist's page
		le.PutUint64(m[40:], 4)          // pages in use
		le.PutUint64(m[48:], uint64(id)) // transaction
		sum := fnv.New64a()
		sum.Write(m[:checked])
		le.PutUint64(m[checked:], sum.Sum64())
	}
	putBuckets(data[3*boltPage:], "alarm", "auth", "authRoles", "authUsers", "cluster", "key", "lease", "members", "members_removed", "meta")
	return data
}

// putBuckets fills a leaf page with empty buckets, in the order of their names. An empty bucket is a root and a
// sequence number of 0 and a page of its own without elements, all in place.
func putBuckets(page []byte, names ...string) {
	const (
		header, element = 16, 16
		bucket, leaf    = 0x01, 0x02
		size            = 16 + header
	)
	le := binary.LittleEndian
	le.PutUint16(page[10:], uint16(len(names)))
	free := header + element*len(names)
	for i, name := range names {
		at := header + element*i
		le.PutUint32(page[at:], bucket)
		le.PutUint32(page[at+4:], uint32(free-at))
		le.PutUint32(page[at+8:], uint32(len(name)))
		le.PutUint32(page[at+12:], size)
		free += copy(page[free:], name)
		le.PutUint16(page[free+16+8:], leaf)
		free += size
	}
}

var snapshotText = regexp.MustCompile(snapshotKey + `([0-9a-f]+)`)

// snapshotOf gives the key of the Kubernetes state in a snapshot, "" for one of something else.
func snapshotOf(data []byte) string {
	m := snapshotText.FindSubmatch(data)
	if m == nil {
		return ""
	}
	key, err := hex.DecodeString(string(m[1]))
	if err != nil {
		return ""
	}
	return string(key)
}
