package machineconfig

import (
	"errors"
	"slices"

	coreconfig "github.com/siderolabs/talos/pkg/machinery/config"
	"github.com/siderolabs/talos/pkg/machinery/config/config"
	"github.com/siderolabs/talos/pkg/machinery/config/configloader"
	"github.com/siderolabs/talos/pkg/machinery/config/container"
	"github.com/siderolabs/talos/pkg/machinery/config/merge"
	"github.com/siderolabs/talos/pkg/machinery/config/types/v1alpha1"
)

// documents are those of a config that is being made. It does what the library's configpatcher does, but copies a
// document only when it is written to, because most of them are shared between the servers of a cluster.
type documents struct {
	list   []document
	memory *memory // nil: they are written while they still change
}

// document is one of them.
type document struct {
	config.Document
	shared *encoded // where it comes from, while it is unchanged; nil: ours to change
}

// encoded is a document that is not changed any more, and its text.
type encoded struct {
	document config.Document
	text     func() ([]byte, error)
	valid    func() bool // by itself
}

// find gives the place of the document that one of a patch is for; -1 if there is none.
func (d *documents) find(like config.Document) int {
	name, named := nameOf(like)
	return slices.IndexFunc(d.list, func(have document) bool {
		if have.Kind() != like.Kind() || have.APIVersion() != like.APIVersion() {
			return false
		}
		n, ok := nameOf(have.Document)
		return ok == named && n == name
	})
}

func nameOf(d config.Document) (name string, named bool) {
	if n, ok := d.(config.NamedDocument); ok {
		return n.Name(), true
	}
	return "", false
}

// own makes a document ours to change.
func (d *documents) own(i int) config.Document {
	if d.list[i].shared != nil {
		d.list[i] = document{Document: d.list[i].Clone()}
	}
	return d.list[i].Document
}

// owned finds the document of a type and makes it ours to change; the zero value if there is none.
func owned[D config.Document](d *documents) (doc D) {
	i := slices.IndexFunc(d.list, func(have document) bool { _, ok := have.Document.(D); return ok })
	if i < 0 {
		return doc
	}
	return d.own(i).(D)
}

// peek finds the document of a type, to look at it; the zero value if there is none.
func peek[D config.Document](d *documents) (doc D) {
	for _, have := range d.list {
		if doc, ok := have.Document.(D); ok {
			return doc
		}
	}
	return doc
}

func (d *documents) remove(i int) { d.list = slices.Delete(d.list, i, i+1) }

// merge does a strategic merge, as configpatcher.StrategicMerge: documents that match are merged, others are added;
// what `$patch: delete` names is deleted, a document that is not there silently.
func (d *documents) merge(patch []config.Document) error {
	several := false
	for _, right := range patch {
		if _, old := right.(*v1alpha1.Config); !old {
			several = true
		}
		i := d.find(right)
		deletion, deletes := right.(configloader.Selector)
		switch {
		case i < 0 && deletes:
		case i < 0:
			d.list = append(d.list, document{Document: right.Clone()})
		case deletes:
			err := deletion.ApplyTo(d.own(i))
			if errors.Is(err, configloader.ErrZeroedDocument) {
				d.remove(i)
			} else if err != nil {
				return err
			}
		default:
			// The patch is copied because merging takes over its pointers, and later patches write to them.
			if err := merge.Merge(d.own(i), right.Clone()); err != nil {
				return err
			}
		}
	}
	if !several {
		return nil
	}
	_, err := d.container()
	return err
}

// container is the config as the library has it. It refuses documents that cannot be together.
func (d *documents) container() (coreconfig.Provider, error) {
	list := make([]config.Document, len(d.list))
	for i, doc := range d.list {
		list[i] = doc.Document
	}
	return container.New(list...)
}

// v1alpha1 gives the place of the document with machine: and cluster:; -1 if there is none.
func (d *documents) v1alpha1() int {
	return slices.IndexFunc(d.list, func(have document) bool { _, ok := have.Document.(*v1alpha1.Config); return ok })
}

// encode gives the text, the v1alpha1 document first, as the library does. With a memory, the documents
// must not be changed after it.
func (d *documents) encode() ([]byte, error) {
	var out pieces
	first := d.v1alpha1()
	for i := -1; i < len(d.list); i++ {
		at := i
		if i < 0 {
			at = first
		}
		if at < 0 || i == first {
			continue
		}
		text, err := d.text(at)
		if err != nil {
			return nil, err
		}
		if len(text) == 0 {
			continue
		}
		if len(out) > 0 {
			out.add([]byte("---\n"))
		}
		out.add(text)
	}
	return out.join(), nil
}

func (d *documents) text(i int) ([]byte, error) {
	if shared := d.list[i].shared; shared != nil && shared.text != nil {
		return shared.text()
	}
	if d.memory == nil {
		return encodeDocument(d.list[i].Document)
	}
	return d.memory.document(d.list[i].Document)
}
