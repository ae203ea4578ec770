package httpapi

// Roles is what each operation needs.
func Roles() map[string]Role { return roles() }
