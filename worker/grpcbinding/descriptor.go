package grpcbinding

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// methods are those of a set of descriptors, with its types.
type methods struct {
	types  *dynamicpb.Types
	byName map[string]protoreflect.MethodDescriptor // acme.payment.v1.Payments/Request
}

func newMethods(set []byte) (*methods, error) {
	fds := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(set, fds); err != nil {
		return nil, fmt.Errorf("this is not a FileDescriptorSet: %w", err)
	}
	files, err := protodesc.NewFiles(fds)
	if err != nil {
		return nil, err
	}
	m := &methods{types: dynamicpb.NewTypes(files), byName: map[string]protoreflect.MethodDescriptor{}}
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			of := f.Services().Get(i).Methods()
			for j := range of.Len() {
				m.byName[fullMethod(of.Get(j))[1:]] = of.Get(j)
			}
		}
		return true
	})
	return m, nil
}

// fullMethod is the method as it stands on the wire.
func fullMethod(m protoreflect.MethodDescriptor) string {
	return fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name())
}

// resolver finds types of the set, and then those that are linked: the details of errors
// that Google defines.
type resolver struct{ *dynamicpb.Types }

func (r resolver) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	if t, err := r.Types.FindMessageByURL(url); err == nil {
		return t, nil
	}
	return protoregistry.GlobalTypes.FindMessageByURL(url)
}
