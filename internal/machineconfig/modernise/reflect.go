package modernise

import (
	"fmt"
	"reflect"
	"strconv"
)

// methods calls every method of an interface value that takes nothing, and resolves what it gives. Only the methods
// of the interface count, not those of what is behind it.
func methods(v reflect.Value, want func(name string) bool) map[string]any {
	out := map[string]any{}
	if v.Kind() != reflect.Interface || v.IsNil() {
		return out
	}
	t := v.Type()
	for i := range t.NumMethod() {
		m := t.Method(i)
		if m.Type.NumIn() > 0 || m.Type.NumOut() == 0 || want != nil && !want(m.Name) {
			continue
		}
		if r, ok := call(v.Method(i)); ok {
			set(out, m.Name, resolve(r))
		}
	}
	return out
}

// call calls a method. One on a nil pointer inside of an interface has nothing to give.
func call(m reflect.Value) (r reflect.Value, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return m.Call(nil)[0], true
}

// resolve makes a tree of maps, lists and texts of a value. What is empty, zero or false is nil, because a document
// that is not there and one that says so mean the same.
func resolve(v reflect.Value) any {
	if !v.IsValid() {
		return nil
	}
	if s, ok := special(v); ok {
		return s
	}
	switch v.Kind() {
	case reflect.Interface:
		return resolveInterface(v)
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return resolve(v.Elem())
	case reflect.Map:
		return resolveMap(v)
	case reflect.Slice, reflect.Array:
		return resolveSlice(v)
	case reflect.Struct:
		return resolveStruct(v)
	case reflect.Bool:
		if v.Bool() {
			return "true"
		}
		return nil
	case reflect.String:
		if v.String() == "" {
			return nil
		}
		return v.String()
	case reflect.Func, reflect.Chan:
		return nil
	}
	if v.IsZero() {
		return nil
	}
	return fmt.Sprint(v.Interface())
}

// special reads optional values and those that are best read as text.
func special(v reflect.Value) (any, bool) {
	if v.Kind() == reflect.Interface || !v.CanInterface() {
		return nil, false
	}
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, true
	}
	if get := v.MethodByName("Get"); get.IsValid() && get.Type().NumIn() == 0 && get.Type().NumOut() == 2 && get.Type().Out(1).Kind() == reflect.Bool {
		r := get.Call(nil)
		if !r[1].Bool() {
			return nil, true
		}
		return resolve(r[0]), true
	}
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
		if v.Len() == 0 {
			return nil, true
		}
		return string(v.Bytes()), true
	}
	if s, ok := v.Interface().(fmt.Stringer); ok && v.Kind() != reflect.Map && v.Kind() != reflect.Slice {
		if v.IsZero() {
			return nil, true
		}
		return s.String(), true
	}
	return nil, false
}

func resolveInterface(v reflect.Value) any {
	if v.IsNil() {
		return nil
	}
	if v.Type().NumMethod() == 0 { // any: what YAML decoded to
		return resolveAny(v.Elem())
	}
	if inner := v.Elem(); inner.Kind() == reflect.Pointer && inner.IsNil() {
		return nil
	}
	if m := methods(v, nil); len(m) > 0 {
		return m
	}
	return nil
}

// resolveAny keeps zero values: in a free-form map, false is not nothing.
func resolveAny(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Map, reflect.Slice:
		return resolve(v)
	case reflect.Invalid:
		return nil
	}
	return fmt.Sprint(v.Interface())
}

func resolveMap(v reflect.Value) any {
	out := map[string]any{}
	for _, k := range v.MapKeys() {
		if e := v.MapIndex(k); e.Kind() == reflect.String {
			out[k.String()] = "=" + e.String() // an empty text is a value here: labels
		} else {
			set(out, fmt.Sprint(k.Interface()), resolve(e))
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// resolveSlice makes a map of a list whose elements have names: their order makes no difference.
func resolveSlice(v reflect.Value) any {
	var list []any
	named := map[string]any{}
	for i := range v.Len() {
		e := resolve(v.Index(i))
		if e == nil {
			e = ""
		}
		list = append(list, e)
		if m, ok := e.(map[string]any); ok {
			if name, ok := m["Name"].(string); ok && named[name] == nil {
				named[name] = m
			}
		}
	}
	if len(list) == 0 {
		return nil
	}
	if len(named) == len(list) {
		return named
	}
	return list
}

func resolveStruct(v reflect.Value) any {
	out := map[string]any{}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.IsExported() {
			set(out, f.Name, resolve(v.Field(i)))
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func number[T ~int | ~uint8 | ~uint16 | ~uint32](n T) any {
	if n == 0 {
		return nil
	}
	return strconv.FormatUint(uint64(n), 10)
}
