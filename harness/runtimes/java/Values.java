// Values as NumPy stores them, and as onnxruntime's tensors.

package onnxexample;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.TensorInfo;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public final class Values {
  private Values() {}

  /** What cannot be served; `kind` is one of the protocol's refusals. */
  public static final class Refused extends RuntimeException {
    private static final long serialVersionUID = 1L;
    public final String kind;

    public Refused(String kind, String message) {
      super(message);
      this.kind = kind;
    }
  }

  /** An element type: onnxruntime's name without tensor(), NumPy's, bytes, Java's, and the name where NumPy has none. */
  public static final class Type {
    public final String name, numpy, stated;
    public final int size;
    final OnnxJavaType java;

    Type(String name, String numpy, int size, OnnxJavaType java, String stated) {
      this.name = name;
      this.numpy = numpy;
      this.size = size;
      this.java = java;
      this.stated = stated;
    }
  }

  private static final Map<String, Type> TYPES = new LinkedHashMap<>();

  static {
    put("float", "<f4", 4, OnnxJavaType.FLOAT, "");
    put("double", "<f8", 8, OnnxJavaType.DOUBLE, "");
    put("float16", "<f2", 2, OnnxJavaType.FLOAT16, "");
    put("bfloat16", "<u2", 2, OnnxJavaType.BFLOAT16, "bfloat16");
    put("int8", "|i1", 1, OnnxJavaType.INT8, "");
    put("int16", "<i2", 2, OnnxJavaType.INT16, "");
    put("int32", "<i4", 4, OnnxJavaType.INT32, "");
    put("int64", "<i8", 8, OnnxJavaType.INT64, "");
    put("uint8", "|u1", 1, OnnxJavaType.UINT8, "");
    put("bool", "|b1", 1, OnnxJavaType.BOOL, "");
    put("string", "<U", 0, OnnxJavaType.STRING, "");
    put("uint16", "<u2", 2, null, "");
    put("uint32", "<u4", 4, null, "");
    put("uint64", "<u8", 8, null, "");
  }

  private static void put(String name, String numpy, int size, OnnxJavaType java, String stated) {
    TYPES.put(name, new Type(name, numpy, size, java, stated));
  }

  /** The element type of an input or an output. */
  public static Type type(TensorInfo info, String name) {
    String word = info.onnxType.toString().replace("ONNX_TENSOR_ELEMENT_DATA_TYPE_", "").toLowerCase();
    Type found = TYPES.get(word);
    if (found == null) throw new Refused("not_implemented", "'" + name + "' is " + word + ", which Java cannot pass");
    return found;
  }

  /** Sizes, with the last axis varying fastest, and either bytes (little endian) or words. */
  public static final class Array {
    public final String numpy;
    public final long[] shape;
    public final byte[] bytes;
    public final String[] words;

    public Array(String numpy, long[] shape, byte[] bytes, String[] words) {
      this.numpy = numpy;
      this.shape = shape;
      this.bytes = bytes;
      this.words = words;
    }

    /** A part along the first axis, which goes. */
    public Array at(long place) {
      long[] rest = Arrays.copyOfRange(shape, 1, shape.length);
      int size = (int) ((words == null ? bytes.length : words.length) / shape[0]);
      int first = (int) place * size;
      return words == null
          ? new Array(numpy, rest, Arrays.copyOfRange(bytes, first, first + size), null)
          : new Array(numpy, rest, null, Arrays.copyOfRange(words, first, first + size));
    }

    public Array of(long... sizes) {
      return new Array(numpy, sizes, bytes, words);
    }
  }

  public static long count(long[] shape) {
    long product = 1;
    for (long one : shape) product *= one;
    return product;
  }

  public static byte[] read(String path) {
    try {
      return Files.readAllBytes(new File(path).toPath());
    } catch (IOException error) {
      throw new Refused("input", path + ": cannot be read");
    }
  }

  private static final Pattern DESCR = Pattern.compile("'descr': *'([^']*)'");
  private static final Pattern SHAPE = Pattern.compile("'shape': *\\(([^)]*)\\)");

  /** A .npy file's content. */
  public static Array npy(byte[] content) {
    if (content.length < 12 || (content[0] & 255) != 0x93) throw new Refused("input", "a feed is not a .npy file");
    ByteBuffer view = ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN);
    boolean wide = content[6] > 1;
    int start = wide ? 12 : 10, size = wide ? view.getInt(8) : view.getShort(8) & 0xffff;
    String header = new String(content, start, size, StandardCharsets.ISO_8859_1);
    Matcher descr = DESCR.matcher(header), sizes = SHAPE.matcher(header);
    if (!descr.find() || !sizes.find()) throw new Refused("input", "a feed's .npy header cannot be read");
    long[] shape = Arrays.stream(sizes.group(1).split(",")).map(String::trim).filter(one -> !one.isEmpty())
        .mapToLong(Long::parseLong).toArray();
    Array found = of(descr.group(1), shape, Arrays.copyOfRange(content, start + size, content.length));
    return header.contains("'fortran_order': True") ? inRowOrder(found) : found;
  }

  /** NumPy's dtype, sizes and bytes -> a value. */
  public static Array of(String numpy, long[] shape, byte[] bytes) {
    if (!numpy.startsWith("<U")) return new Array(numpy, shape, bytes, null);
    int width = Integer.parseInt(numpy.substring(2));
    ByteBuffer view = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    String[] words = new String[(int) count(shape)];
    for (int i = 0; i < words.length; i++) {
      StringBuilder word = new StringBuilder();
      for (int at = 0; at < width; at++) {
        int point = view.getInt(4 * (i * width + at));
        if (point != 0) word.appendCodePoint(point);
      }
      words[i] = word.toString();
    }
    return new Array("<U", shape, null, words);
  }

  private static Array inRowOrder(Array array) {
    int total = (int) count(array.shape), size = array.words == null && total > 0 ? array.bytes.length / total : 1;
    byte[] bytes = array.words == null ? new byte[array.bytes.length] : null;
    String[] words = array.words == null ? null : new String[total];
    long[] place = new long[array.shape.length];
    for (int to = 0; to < total; to++) {
      long from = 0;
      for (int axis = place.length; axis-- > 0; ) from = from * array.shape[axis] + place[axis];
      if (words == null) System.arraycopy(array.bytes, (int) from * size, bytes, to * size, size);
      else words[to] = array.words[(int) from];
      for (int axis = place.length; axis-- > 0 && ++place[axis] == array.shape[axis]; ) place[axis] = 0;
    }
    return new Array(array.numpy, array.shape, bytes, words);
  }

  /** Values one behind another along an axis. */
  public static Array joined(List<Array> parts, int axis, String name) {
    Array first = parts.get(0);
    long[] shape = first.shape.clone();
    long total = 0;
    for (Array one : parts) {
      long[] alike = one.shape.clone();
      if (axis < alike.length && alike.length == shape.length) alike[axis] = first.shape[axis];
      if (axis >= one.shape.length || !Arrays.equals(alike, first.shape) || !one.numpy.equals(first.numpy)) {
        throw new Refused("batch", "the examples of input '" + name + "' do not fit behind one another: "
            + Arrays.toString(first.shape) + " and " + Arrays.toString(one.shape));
      }
      total += one.shape[axis];
    }
    int outer = (int) count(Arrays.copyOf(shape, axis));
    shape[axis] = total;
    List<String> words = new ArrayList<>();
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    for (int block = 0; block < outer; block++) {
      for (Array one : parts) {
        int size = (one.words == null ? one.bytes.length : one.words.length) / outer;
        if (one.words == null) bytes.write(one.bytes, block * size, size);
        else words.addAll(Arrays.asList(one.words).subList(block * size, (block + 1) * size));
      }
    }
    return first.words == null
        ? new Array(first.numpy, shape, bytes.toByteArray(), null)
        : new Array(first.numpy, shape, null, words.toArray(new String[0]));
  }

  /** A value as an input takes it; `stated` is the type of the feed where NumPy has none. */
  public static Array fitting(Array given, String stated, Type wanted, String name) {
    String what = "input '" + name + "' takes tensor(" + wanted.name + "), and its feed is ";
    if (!stated.equals(wanted.stated)) throw new Refused("input", what + (stated.isEmpty() ? given.numpy : stated));
    boolean text = given.words != null;
    if (text != wanted.name.equals("string")) throw new Refused("input", what + given.numpy);
    if (text || given.numpy.equals(wanted.numpy)) return given;
    int total = (int) count(given.shape);
    ByteBuffer to = ByteBuffer.allocate(total * wanted.size).order(ByteOrder.LITTLE_ENDIAN);
    ByteBuffer from = ByteBuffer.wrap(given.bytes).order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 0; i < total; i++) {
      double number;
      long whole;
      switch (given.numpy) {
        case "<f4": number = from.getFloat(); whole = (long) number; break;
        case "<f8": number = from.getDouble(); whole = (long) number; break;
        case "<i4": whole = from.getInt(); number = whole; break;
        case "<i8": whole = from.getLong(); number = whole; break;
        case "|u1": case "|b1": whole = from.get() & 255; number = whole; break;
        default: throw new Refused("input", what + given.numpy);
      }
      switch (wanted.numpy) {
        case "<f4": to.putFloat((float) number); break;
        case "<f8": to.putDouble(number); break;
        case "<i4": to.putInt((int) whole); break;
        case "<i8": to.putLong(whole); break;
        case "|u1": to.put((byte) whole); break;
        case "|b1": to.put((byte) (number != 0 ? 1 : 0)); break;
        default: throw new Refused("input", what + given.numpy);
      }
    }
    return new Array(wanted.numpy, given.shape, to.array(), null);
  }

  /** A value in memory that onnxruntime reads. */
  public static OnnxTensor tensor(OrtEnvironment environment, Array array, Type type, String name) throws OrtException {
    if (type.java == null) {
      throw new Refused("not_implemented", "input '" + name + "' is " + type.name + ", which onnxruntime's Java cannot pass");
    }
    if (array.words != null) return OnnxTensor.createTensor(environment, array.words, array.shape);
    if (array.bytes.length != count(array.shape) * type.size) {
      throw new Refused("input", "the feed of input '" + name + "' has " + array.bytes.length + " bytes, which are no "
          + Arrays.toString(array.shape) + " of " + type.name);
    }
    ByteBuffer buffer = ByteBuffer.allocateDirect(array.bytes.length).order(ByteOrder.nativeOrder());
    buffer.put(array.bytes).rewind();
    return OnnxTensor.createTensor(environment, buffer, array.shape, type.java);
  }

  /** An output, in memory of its own. */
  public static Array array(OnnxTensor tensor, Type type) throws OrtException {
    long[] shape = tensor.getInfo().getShape();
    if (type.name.equals("string")) {
      List<String> words = new ArrayList<>();
      flatten(count(shape) == 0 ? new Object[0] : tensor.getValue(), words);
      return new Array("<U", shape, null, words.toArray(new String[0]));
    }
    if (count(shape) == 0) return new Array(type.numpy, shape, new byte[0], null);
    ByteBuffer buffer = tensor.getByteBuffer();
    byte[] bytes = new byte[(int) (count(shape) * type.size)];
    buffer.get(bytes);
    return new Array(type.numpy, shape, bytes, null);
  }

  private static void flatten(Object value, List<String> to) {
    if (value instanceof Object[]) for (Object one : (Object[]) value) flatten(one, to);
    else to.add((String) value);
  }

  /** Write values of equal size one behind another as one .npy file of this shape. */
  public static void save(String path, List<Array> parts, long[] shape) {
    String numpy = parts.get(0).numpy;
    int width = 1;
    if (numpy.equals("<U")) {
      for (Array one : parts) for (String word : one.words) width = Math.max(width, word.codePointCount(0, word.length()));
      numpy += width;
    }
    StringBuilder sizes = new StringBuilder();
    for (long one : shape) sizes.append(one).append(", ");
    if (shape.length > 1) sizes.setLength(sizes.length() - 2);
    StringBuilder header = new StringBuilder("{'descr': '" + numpy + "', 'fortran_order': False, 'shape': (" + sizes + "), }");
    while ((header.length() + 11) % 64 != 0) header.append(' ');
    header.append('\n');
    try (OutputStream file = Files.newOutputStream(new File(path).toPath())) {
      file.write(new byte[] {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (byte) header.length(), (byte) (header.length() >> 8)});
      file.write(header.toString().getBytes(StandardCharsets.ISO_8859_1));
      for (Array one : parts) file.write(one.words == null ? one.bytes : points(one.words, width));
    } catch (IOException error) {
      throw new Refused("runtime", path + ": cannot be written: " + error.getMessage());
    }
  }

  private static byte[] points(String[] words, int width) {
    ByteBuffer made = ByteBuffer.allocate(4 * width * words.length).order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 0; i < words.length; i++) {
      int[] all = words[i].codePoints().toArray();
      for (int at = 0; at < all.length; at++) made.putInt(4 * (i * width + at), all[at]);
    }
    return made.array();
  }
}
