package collector

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// bus is a connection to D-Bus, of whose protocol it speaks what it takes to call a
// method that has lists of words as arguments. See the D-Bus specification, "Message
// Protocol" and "Authentication Protocol".
type bus struct {
	conn   net.Conn
	in     *bufio.Reader
	serial uint32
	out    []byte
	msg    []byte
}

// maxMessage bounds an answer: a thousand units take a quarter of a megabyte.
const maxMessage = maxFile

// busError is a refusal by the one that was called.
type busError string

func (e busError) Error() string { return "the bus answers " + strconv.Quote(string(e)) }

const (
	busName = "org.freedesktop.DBus"
	busPath = "/org/freedesktop/DBus"

	messageCall, messageReturn, messageError = 1, 2, 3

	fieldPath, fieldInterface, fieldMember, fieldError, fieldReply, fieldDestination, fieldSignature = 1, 2, 3, 4, 5, 6, 8

	noAutoStart = 2
)

// dialBus connects to the bus at a socket and says who this process is.
func dialBus(ctx context.Context, path string) (*bus, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("connect to the bus: %w", err)
	}
	b := &bus{conn: conn, in: bufio.NewReaderSize(conn, 4096)}
	if err := b.greet(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return b, nil
}

func (b *bus) greet(ctx context.Context) error {
	b.limit(ctx)
	uid := hex.EncodeToString([]byte(strconv.Itoa(os.Geteuid())))
	if _, err := io.WriteString(b.conn, "\x00AUTH EXTERNAL "+uid+"\r\n"); err != nil {
		return fmt.Errorf("greet the bus: %w", err)
	}
	line, err := b.in.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("greet the bus: %w", err)
	}
	if !strings.HasPrefix(string(line), "OK ") {
		return errors.New("the bus does not let this user in")
	}
	if _, err := io.WriteString(b.conn, "BEGIN\r\n"); err != nil {
		return fmt.Errorf("greet the bus: %w", err)
	}
	_, err = b.call(ctx, busName, busPath, busName, "Hello")
	return err
}

// limit makes what follows end with ctx, or after a while.
func (b *bus) limit(ctx context.Context) {
	until, ok := ctx.Deadline()
	if !ok {
		until = time.Now().Add(time.Second)
	}
	_ = b.conn.SetDeadline(until) // what follows fails then too
}

// call calls a method whose arguments are lists of words and returns the body of
// the answer, which holds until the next call. After an error that is no busError
// the connection is of no more use.
func (b *bus) call(ctx context.Context, destination, path, iface, member string, lists ...[]string) (body, error) {
	b.limit(ctx)
	b.serial++
	b.compose(destination, path, iface, member, lists)
	if _, err := b.conn.Write(b.out); err != nil {
		return body{}, fmt.Errorf("call %s: %w", member, err)
	}
	for {
		kind, reply, refusal, answer, err := b.receive()
		if err != nil {
			return body{}, fmt.Errorf("call %s: %w", member, err)
		}
		switch {
		case reply != b.serial: // a signal, or the answer to nobody
		case kind == messageError:
			return body{}, fmt.Errorf("call %s: %w", member, busError(refusal))
		case kind == messageReturn:
			return answer, nil
		}
	}
}

// compose writes a call into b.out, in little-endian order.
func (b *bus) compose(destination, path, iface, member string, lists [][]string) {
	var args []byte
	for _, list := range lists {
		args = pad(args, 4)
		at := len(args)
		args = append(args, 0, 0, 0, 0)
		for _, word := range list {
			args = appendText(pad(args, 4), word)
		}
		binary.LittleEndian.PutUint32(args[at:], uint32(len(args)-at-4))
	}
	out := append(b.out[:0], 'l', messageCall, noAutoStart, 1)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(args)))
	out = binary.LittleEndian.AppendUint32(out, b.serial)
	out = append(out, 0, 0, 0, 0)
	for _, f := range [...]struct {
		code byte
		kind byte
		text string
	}{{fieldPath, 'o', path}, {fieldInterface, 's', iface}, {fieldMember, 's', member}, {fieldDestination, 's', destination}} {
		out = append(pad(out, 8), f.code, 1, f.kind, 0)
		out = appendText(out, f.text)
	}
	if len(lists) > 0 {
		out = append(pad(out, 8), fieldSignature, 1, 'g', 0, byte(2*len(lists)))
		out = append(append(out, strings.Repeat("as", len(lists))...), 0)
	}
	binary.LittleEndian.PutUint32(out[12:], uint32(len(out)-16))
	b.out = append(pad(out, 8), args...)
}

func pad(b []byte, to int) []byte {
	for len(b)%to != 0 {
		b = append(b, 0)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
	return append(append(b, s...), 0)
}

// receive reads one message: its kind, whose answer it is, why it is a refusal.
func (b *bus) receive() (kind byte, reply uint32, refusal string, answer body, err error) {
	var head [16]byte
	if _, err := io.ReadFull(b.in, head[:]); err != nil {
		return 0, 0, "", body{}, err
	}
	order, err := byteOrder(head[0])
	if err != nil {
		return 0, 0, "", body{}, err
	}
	size, fields := order.Uint32(head[4:]), order.Uint32(head[12:])
	if size > maxMessage || fields > maxText {
		return 0, 0, "", body{}, fmt.Errorf("a message of %d and %d bytes", fields, size)
	}
	padded := (fields + 7) &^ 7
	if n := int(padded + size); cap(b.msg) < n {
		b.msg = make([]byte, n)
	}
	b.msg = b.msg[:padded+size]
	if _, err := io.ReadFull(b.in, b.msg); err != nil {
		return 0, 0, "", body{}, err
	}
	reply, refusal = replyOf(body{b: b.msg[:fields], order: order})
	return head[1], reply, refusal, body{b: b.msg[padded:], order: order}, nil
}

func byteOrder(mark byte) (binary.ByteOrder, error) {
	switch mark {
	case 'l':
		return binary.LittleEndian, nil
	case 'B':
		return binary.BigEndian, nil
	}
	return nil, errors.New("a message in an unknown byte order")
}

// replyOf reads the header fields: whose answer the message is, and its error.
func replyOf(f body) (reply uint32, refusal string) {
	for {
		f.align(8)
		code, ok := f.byte()
		kind := f.signature()
		if !ok || len(kind) != 1 {
			return reply, refusal
		}
		switch kind[0] {
		case 'u':
			if v := f.uint32(); code == fieldReply {
				reply = v
			}
		case 's', 'o':
			if s := f.text(); code == fieldError {
				refusal = string(s)
			}
		case 'g':
			f.signature()
		default:
			return reply, refusal
		}
	}
}

// body reads the values of a message one after the other. Beyond its end every value
// is empty; bad says so.
type body struct {
	b     []byte
	at    int
	order binary.ByteOrder
	bad   bool
}

func (b *body) align(to int) { b.at = (b.at + to - 1) / to * to }

func (b *body) take(n int) []byte {
	if n < 0 || b.bad || b.at > len(b.b) || n > len(b.b)-b.at {
		b.bad = true
		return nil
	}
	b.at += n
	return b.b[b.at-n : b.at]
}

func (b *body) byte() (byte, bool) {
	v := b.take(1)
	if v == nil {
		return 0, false
	}
	return v[0], true
}

func (b *body) uint32() uint32 {
	b.align(4)
	if v := b.take(4); v != nil {
		return b.order.Uint32(v)
	}
	return 0
}

// text reads a string or an object path. It belongs to the message.
func (b *body) text() []byte {
	n := b.uint32()
	if n > maxMessage {
		b.bad = true
		return nil
	}
	s := b.take(int(n))
	b.take(1)
	return s
}

func (b *body) signature() []byte {
	n, _ := b.byte()
	s := b.take(int(n))
	b.take(1)
	return s
}
