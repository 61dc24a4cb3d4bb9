package factory

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// piece is how much of an image becomes one member of a .gz or one stream of a .xz file.
const piece = 64 << 10

// window of zstd: what a decoder needs in memory, in each of many machines.
const window = 256 << 10

// image is what can be packed.
type image interface {
	io.ReaderAt
	Size() int64
}

// pack compresses an image. What is not zero does not compress anyway (world's images are made so), so .gz and .xz
// store it and repeat one compressed piece of zeroes: both formats allow to join members. Their encoders are slow.
func pack(img image, format string) ([]byte, error) {
	switch format {
	case ".gz":
		return packPieces(img, func(p []byte, blank bool) ([]byte, error) {
			level := gzip.NoCompression
			if blank {
				level = gzip.BestCompression
			}
			var b bytes.Buffer
			z, err := gzip.NewWriterLevel(&b, level)
			if err != nil {
				return nil, err
			}
			return finish(&b, z, p)
		})
	case ".xz":
		return packPieces(img, func(p []byte, blank bool) ([]byte, error) {
			if !blank {
				return storeXZ(p), nil
			}
			var b bytes.Buffer
			z, err := xz.NewWriter(&b)
			if err != nil {
				return nil, err
			}
			return finish(&b, z, p)
		})
	}
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(window))
	if err != nil {
		return nil, err
	}
	z.ResetContentSize(&b, img.Size()) // the factory packs a file, so the size stands in the frame
	if _, err := io.Copy(z, io.NewSectionReader(img, 0, img.Size())); err != nil {
		return nil, err
	}
	err = z.Close()
	return b.Bytes(), err
}

func finish(b *bytes.Buffer, z io.WriteCloser, p []byte) ([]byte, error) {
	if _, err := z.Write(p); err != nil {
		return nil, err
	}
	err := z.Close()
	return b.Bytes(), err
}

func packPieces(img image, pack func(p []byte, blank bool) ([]byte, error)) ([]byte, error) {
	zeroes, buf := make([]byte, piece), make([]byte, piece)
	blank, err := pack(zeroes, true)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for off := int64(0); off < img.Size(); off += piece {
		if _, err := img.ReadAt(buf, off); err != nil && err != io.EOF {
			return nil, err
		}
		if bytes.Equal(buf, zeroes) {
			b.Write(blank)
			continue
		}
		packed, err := pack(buf, false)
		if err != nil {
			return nil, err
		}
		b.Write(packed)
	}
	return b.Bytes(), nil
}

// storeXZ makes an xz stream that stores up to 64 KiB uncompressed (The .xz File Format 1.2.1; LZMA2 chunk type 1).
func storeXZ(p []byte) []byte {
	le := binary.LittleEndian
	sum := func(b []byte) []byte { return le.AppendUint32(nil, crc32.ChecksumIEEE(b)) }
	flags := []byte{0, 1} // check: CRC32
	out := append([]byte("\xfd7zXZ\x00"), flags...)
	out = append(out, sum(flags)...)

	header := []byte{2, 0, 0x21, 1, 0x10, 0, 0, 0} // 12 bytes with its checksum; one filter, LZMA2, dictionary of 1 MiB
	block := append(header, sum(header)...)
	block = append(block, 1, byte((len(p)-1)>>8), byte(len(p)-1))
	block = append(append(block, p...), 0)
	unpadded := len(block) + crc32.Size
	block = append(block, make([]byte, -len(block)&3)...)
	out = append(append(out, block...), sum(p)...)

	index := binary.AppendUvarint(binary.AppendUvarint([]byte{0, 1}, uint64(unpadded)), uint64(len(p)))
	index = append(index, make([]byte, -len(index)&3)...)
	index = append(index, sum(index)...)
	out = append(out, index...)

	footer := append(le.AppendUint32(nil, uint32(len(index)/4-1)), flags...)
	return append(append(append(out, sum(footer)...), footer...), "YZ"...)
}
