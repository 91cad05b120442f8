// As much JSON as the worker protocol needs: objects, arrays, strings, numbers, true, false and null.

#pragma once

#include <cstdio>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace json {

struct Value {
  enum Kind { Null, Bool, Number, Text, Array, Object } kind = Null;
  double number = 0;
  std::string text;
  std::vector<Value> items;
  std::map<std::string, Value> members;

  bool has(const std::string& key) const { return members.count(key) && members.at(key).kind != Null; }

  /** A member; null where there is none. */
  const Value& operator[](const std::string& key) const {
    static const Value none;
    auto found = members.find(key);
    return found == members.end() ? none : found->second;
  }

  long long whole(long long otherwise = 0) const { return kind == Number ? static_cast<long long>(number) : otherwise; }
  bool truth() const { return kind == Bool && number != 0; }
};

class Reader {
 public:
  explicit Reader(const std::string& source) : at_(source.c_str()), end_(at_ + source.size()) {}

  Value value() {
    blank();
    if (at_ == end_) fail();
    switch (*at_) {
      case '{': return object();
      case '[': return array();
      case '"': return made(Value::Text, string());
      case 't': return word("true", Value::Bool, 1);
      case 'f': return word("false", Value::Bool, 0);
      case 'n': return word("null", Value::Null, 0);
      default: return number();
    }
  }

 private:
  const char* at_;
  const char* end_;

  [[noreturn]] void fail() const { throw std::runtime_error("a request is not JSON"); }

  void blank() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\r' || *at_ == '\n')) ++at_;
  }

  bool next(char wanted) {
    blank();
    if (at_ == end_ || *at_ != wanted) return false;
    ++at_;
    return true;
  }

  static Value made(Value::Kind kind, std::string text) {
    Value found;
    found.kind = kind;
    found.text = std::move(text);
    return found;
  }

  Value word(const std::string& written, Value::Kind kind, double number) {
    if (static_cast<size_t>(end_ - at_) < written.size() || written.compare(0, written.size(), at_, written.size())) fail();
    at_ += written.size();
    Value found;
    found.kind = kind;
    found.number = number;
    return found;
  }

  Value number() {
    char* after = nullptr;
    Value found;
    found.kind = Value::Number;
    found.number = std::strtod(at_, &after);
    if (after == at_ || after > end_) fail();
    at_ = after;
    return found;
  }

  Value array() {
    Value found;
    found.kind = Value::Array;
    next('[');
    if (next(']')) return found;
    do found.items.push_back(value());
    while (next(','));
    if (!next(']')) fail();
    return found;
  }

  Value object() {
    Value found;
    found.kind = Value::Object;
    next('{');
    if (next('}')) return found;
    do {
      blank();
      if (at_ == end_ || *at_ != '"') fail();
      std::string key = string();
      if (!next(':')) fail();
      found.members[key] = value();
    } while (next(','));
    if (!next('}')) fail();
    return found;
  }

  unsigned hex() {
    if (end_ - at_ < 4) fail();
    unsigned point = static_cast<unsigned>(std::stoul(std::string(at_, 4), nullptr, 16));
    at_ += 4;
    return point;
  }

  static void append(std::string& to, unsigned point) {
    if (point < 0x80) {
      to += static_cast<char>(point);
    } else if (point < 0x800) {
      to += {static_cast<char>(0xC0 | point >> 6), static_cast<char>(0x80 | (point & 63))};
    } else if (point < 0x10000) {
      to += {static_cast<char>(0xE0 | point >> 12), static_cast<char>(0x80 | (point >> 6 & 63)),
             static_cast<char>(0x80 | (point & 63))};
    } else {
      to += {static_cast<char>(0xF0 | point >> 18), static_cast<char>(0x80 | (point >> 12 & 63)),
             static_cast<char>(0x80 | (point >> 6 & 63)), static_cast<char>(0x80 | (point & 63))};
    }
  }

  std::string string() {
    std::string found;
    ++at_;
    while (at_ != end_ && *at_ != '"') {
      if (*at_ != '\\') {
        found += *at_++;
        continue;
      }
      if (++at_ == end_) fail();
      char escaped = *at_++;
      switch (escaped) {
        case 'n': found += '\n'; break;
        case 't': found += '\t'; break;
        case 'r': found += '\r'; break;
        case 'b': found += '\b'; break;
        case 'f': found += '\f'; break;
        case 'u': {
          unsigned point = hex();
          if (point >= 0xD800 && point < 0xDC00 && end_ - at_ >= 6 && at_[0] == '\\' && at_[1] == 'u') {
            at_ += 2;
            point = 0x10000 + ((point - 0xD800) << 10) + (hex() - 0xDC00);
          }
          append(found, point);
          break;
        }
        default: found += escaped;
      }
    }
    if (at_ == end_) fail();
    ++at_;
    return found;
  }
};

inline Value parse(const std::string& source) { return Reader(source).value(); }

inline std::string quoted(const std::string& text) {
  std::string found = "\"";
  for (unsigned char one : text) {
    if (one == '"' || one == '\\') {
      found += {'\\', static_cast<char>(one)};
    } else if (one < 0x20) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", one);
      found += code;
    } else {
      found += static_cast<char>(one);
    }
  }
  return found + "\"";
}

/** The written items one behind another, as an array. */
inline std::string array(const std::vector<std::string>& written) {
  std::string found = "[";
  for (const auto& one : written) found += (found.size() > 1 ? "," : "") + one;
  return found + "]";
}

inline std::string texts(const std::vector<std::string>& plain) {
  std::vector<std::string> written;
  for (const auto& one : plain) written.push_back(quoted(one));
  return array(written);
}

template <typename Number>
std::string numbers(const std::vector<Number>& plain) {
  std::string found = "[";
  for (auto one : plain) found += (found.size() > 1 ? "," : "") + std::to_string(one);
  return found + "]";
}

}  // namespace json
