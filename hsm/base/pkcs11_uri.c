#include "hsm/base/pkcs11_uri.h"

#include "hsm/base/check.h"
#include "hsm/base/own.h"
#include "hsm/base/text.h"

#include <stdbool.h>
#include <string.h>

#define SCHEME "pkcs11:"

static const char *const types[] = {
    [PKCS11_URI_PRIVATE] = "private",
    [PKCS11_URI_PUBLIC] = "public",
    [PKCS11_URI_SECRET_KEY] = "secret-key",
    [PKCS11_URI_CERT] = "cert",
    [PKCS11_URI_DATA] = "data",
};

/* The attributes whose value is text, and where it goes. */
struct text_attribute {
    const char *name;
    size_t at;
    size_t cap;
};

#define FIELD(member)                                                          \
    offsetof(struct pkcs11_uri, member), sizeof((struct pkcs11_uri *)0)->member

static const struct text_attribute texts[] = {
    {"token",        FIELD(token)       },
    {"manufacturer", FIELD(manufacturer)},
    {"serial",       FIELD(serial)      },
    {"model",        FIELD(model)       },
    {"object",       FIELD(object)      },
};

static bool is_named(struct bytes name, const char *what)
{
    return bytes_equal(name, bytes_of_text(what));
}

static bool is_unreserved(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
           c == '~';
}

/* RFC 7512: what may stand in the path of a URI without being escaped. */
static bool may_stand(uint8_t c)
{
    return is_unreserved(c) || (c != '\0' && strchr(":[]@!$'()*+,=&", c));
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* False for a broken escape, a byte that had to be escaped, or too much. */
static bool unescape(struct bytes value, uint8_t *out, size_t cap, size_t *len)
{
    *len = 0;
    for (size_t i = 0; i < value.len; i++) {
        uint8_t byte = value.data[i];
        if (byte == '%') {
            int high = i + 2 < value.len ? hex_value(value.data[i + 1]) : -1;
            int low = i + 2 < value.len ? hex_value(value.data[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            byte = (uint8_t)(high << 4 | low);
            i += 2;
        } else if (!may_stand(byte)) {
            return false;
        }
        if (*len == cap) {
            return false;
        }
        out[*len] = byte;
        *len += 1;
    }
    return true;
}

static const char *take_text(const struct text_attribute *attribute,
                             struct bytes value, struct pkcs11_uri *out)
{
    char *field = (char *)out + attribute->at;
    size_t len = 0;
    if (field[0] != '\0') {
        return "an attribute stands there twice";
    }
    if (!unescape(value, (uint8_t *)field, attribute->cap - 1, &len)) {
        return "a value is too long or not escaped as RFC 7512 wants it";
    }
    field[len] = '\0';
    if (len == 0) {
        return "an attribute is empty";
    }
    return text_is_plain((struct bytes){(const uint8_t *)field, len})
               ? NULL
               : "a value is not UTF-8 or holds control characters";
}

static const char *take_id(struct bytes value, struct pkcs11_uri *out)
{
    if (out->id_len != 0) {
        return "an attribute stands there twice";
    }
    if (!unescape(value, out->id, sizeof out->id, &out->id_len)) {
        return "the id is too long or not escaped as RFC 7512 wants it";
    }
    return out->id_len == 0 ? "an attribute is empty" : NULL;
}

static const char *take_type(struct bytes value, struct pkcs11_uri *out)
{
    if (out->type != PKCS11_URI_NO_TYPE) {
        return "an attribute stands there twice";
    }
    for (size_t i = PKCS11_URI_PRIVATE; i < HF_COUNT(types); i++) {
        if (is_named(value, types[i])) {
            out->type = (enum pkcs11_uri_type)i;
            return NULL;
        }
    }
    return "the type is none of private, public, secret-key, cert, data";
}

/* NULL, or what is wrong. */
static const char *take_attribute(struct bytes attribute,
                                  struct pkcs11_uri *out)
{
    const uint8_t *equals =
        attribute.len == 0 ? NULL : memchr(attribute.data, '=', attribute.len);
    if (equals == NULL) {
        return "an attribute is not of the form name=value";
    }
    struct bytes name = {attribute.data, (size_t)(equals - attribute.data)};
    struct bytes value = {equals + 1, attribute.len - name.len - 1};
    for (size_t i = 0; i < HF_COUNT(texts); i++) {
        if (is_named(name, texts[i].name)) {
            return take_text(&texts[i], value, out);
        }
    }
    if (is_named(name, "id")) {
        return take_id(value, out);
    }
    if (is_named(name, "type")) {
        return take_type(value, out);
    }
    if (is_named(name, "slot-id") || is_named(name, "slot-description") ||
        is_named(name, "slot-manufacturer")) {
        return "slots change from start to start: name the token by token= "
               "and serial=";
    }
    if (is_named(name, "pin-value") || is_named(name, "pin-source")) {
        return "a PIN does not belong in a name";
    }
    return "an attribute is not known here";
}

static bool has_scheme(const char *text)
{
    for (size_t i = 0; i < sizeof SCHEME - 1; i++) {
        char c = text[i];
        char lower = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        if (lower != SCHEME[i]) {
            return false;
        }
    }
    return true;
}

static const char *parse(const char *text, struct pkcs11_uri *out)
{
    if (strnlen(text, HF_URI_MAX_BYTES + 1) > HF_URI_MAX_BYTES) {
        return "it is too long";
    }
    if (!has_scheme(text)) {
        return "it does not begin with pkcs11:";
    }
    const char *at = text + sizeof SCHEME - 1;
    if (strchr(at, '?') != NULL) {
        return "nothing may follow a question mark: PINs and modules do not "
               "belong in a name";
    }
    const char *why = NULL;
    bool more = at[0] != '\0';
    while (why == NULL && more) {
        const char *end = strchrnul(at, ';');
        why = take_attribute(
            (struct bytes){(const uint8_t *)at, (size_t)(end - at)}, out);
        more = *end == ';';
        at = end + 1;
    }
    return why;
}

HF_STATUS pkcs11_uri_parse(const char *text, struct pkcs11_uri *out,
                           const char **out_why)
{
    struct pkcs11_uri uri = {0};
    *out_why = parse(text, &uri);
    if (*out_why != NULL) {
        return HF_E_INVALID;
    }
    *out = uri;
    return HF_OK;
}

struct uri_writer {
    char *out;
    size_t cap;
    size_t len;
    bool first;
    bool bad;
};

static void put(struct uri_writer *writer, char c)
{
    if (writer->cap - writer->len < 2) { /* the NUL has its place */
        writer->bad = true;
        return;
    }
    writer->out[writer->len] = c;
    writer->len += 1;
}

static void put_plain(struct uri_writer *writer, const char *text)
{
    for (size_t i = 0; text[i] != '\0'; i++) {
        put(writer, text[i]);
    }
}

static void put_escaped(struct uri_writer *writer, struct bytes value, bool all)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < value.len; i++) {
        uint8_t byte = value.data[i];
        if (!all && is_unreserved(byte)) {
            put(writer, (char)byte);
            continue;
        }
        put(writer, '%');
        put(writer, hex[byte >> 4]);
        put(writer, hex[byte & 15]);
    }
}

static void put_name(struct uri_writer *writer, const char *name)
{
    if (!writer->first) {
        put(writer, ';');
    }
    writer->first = false;
    put_plain(writer, name);
    put(writer, '=');
}

static void put_field(struct uri_writer *writer, const char *name,
                      const char *value)
{
    if (value[0] == '\0') {
        return;
    }
    writer->bad = writer->bad || !text_is_plain(bytes_of_text(value));
    put_name(writer, name);
    put_escaped(writer, bytes_of_text(value), false);
}

HF_STATUS pkcs11_uri_format(const struct pkcs11_uri *uri, char *out,
                            size_t out_cap)
{
    CHECK(out_cap > 0);
    struct uri_writer writer = {.out = out, .cap = out_cap, .first = true};
    put_plain(&writer, SCHEME);
    put_field(&writer, "token", uri->token);
    put_field(&writer, "manufacturer", uri->manufacturer);
    put_field(&writer, "serial", uri->serial);
    put_field(&writer, "model", uri->model);
    if (uri->id_len > 0) {
        put_name(&writer, "id");
        put_escaped(&writer, (struct bytes){uri->id, uri->id_len}, true);
    }
    put_field(&writer, "object", uri->object);
    if (uri->type != PKCS11_URI_NO_TYPE) {
        put_name(&writer, "type");
        put_plain(&writer, types[uri->type]);
    }
    out[writer.len] = '\0';
    return writer.bad ? HF_E_INVALID : HF_OK;
}
