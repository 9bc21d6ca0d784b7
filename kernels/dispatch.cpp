// The operations as callers see them: shapes are checked here, once for all backends, then the
// executor's own table carries the call out.
#include <cstdint>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "kernels/resident.hpp"
#include "kernels/resident/capture.hpp"
#include "kernels/slot_operands.hpp"
#include "kernels/table.hpp"

namespace manyfold::kernels {
namespace {

using resident::Operation;

/// Hands a checked call to call(args), those of the open window where there is one, or to whoever
/// captures.
template <class Args, class Call>
void carry_out(Executor& executor, Operation operation, std::size_t element_bytes, const Args& args,
               const Call& call) {
  if (resident::Capture* capture = executor.capture()) {
    capture->add(operation, static_cast<std::int32_t>(element_bytes), args);
  } else if (const WorkSlots* window = executor.window()) {
    call(in_window(args, *window));
  } else {
    call(args);
  }
}
template <class T, class Args>
void carry_out(Executor& executor, Operation operation,
               void (*TypedTable<T>::*entry)(Executor&, const Args&), const Args& args) {
  carry_out(executor, operation, sizeof(T), args, [&](const Args& seen) {
    if constexpr (std::is_same_v<T, float>) {
      (executor.kernels().f32.*entry)(executor, seen);
    } else {
      (executor.kernels().f64.*entry)(executor, seen);
    }
  });
}
template <class Args>
void carry_out(Executor& executor, Operation operation,
               void (*KernelTables::*entry)(Executor&, const Args&), const Args& args) {
  carry_out(executor, operation, 0, args,
            [&](const Args& seen) { (executor.kernels().*entry)(executor, seen); });
}

template <class View>
std::string shape(const View& m) {
  std::ostringstream text;
  text << '(' << m.slots << ", " << m.rows << ", " << m.cols << ')';
  return text.str();
}

[[noreturn]] void reject(const std::string& message) { throw std::invalid_argument(message); }

template <class T>
void check_layout(const char* operation, const char* operand, const MatrixBatch<T>& m) {
  if (m.slots < 0 || m.rows < 0 || m.cols < 0) {
    reject(std::string(operation) + ": negative shape " + shape(m) + " of " + operand);
  }
  if (m.rows > 1 && m.row_stride < m.cols) {
    reject(std::string(operation) + ": rows of " + operand + " " + shape(m) +
           " overlap: row_stride " + std::to_string(m.row_stride));
  }
}

/// What is written may not be shared between slots.
template <class T>
void check_own(const char* operation, const char* operand, const MatrixBatch<T>& m) {
  if (m.slots > 1 && m.size() > 0 && m.slot_stride == 0) {
    reject(std::string(operation) + ": " + operand + " " + shape(m) +
           " is written and cannot be shared among slots (slot_stride 0)");
  }
}

/// An operand has as many slots as the result, or is one shared by all of them.
template <class T>
bool slots_fit(const MatrixBatch<T>& operand, std::int64_t slots) {
  return operand.slots == slots || operand.slot_stride == 0;
}

/// (slot, count) doubles that are written.
void check_rows(const char* operation, std::int64_t slots, std::int64_t count,
                std::int64_t out_stride) {
  if (slots > 1 && out_stride < count) {
    reject(std::string(operation) + ": slots overlap: " + std::to_string(count) +
           " values, out_stride " + std::to_string(out_stride));
  }
}

template <class T>
void check_references(const char* operation, const VectorBatch<T>& x,
                      const MatrixBatch<const double>& references, std::int64_t out_stride) {
  check_layout(operation, "references", references);
  if (references.cols != x.count || !slots_fit(references, x.slots)) {
    reject(std::string(operation) + ": references " + shape(references) + " for vectors (" +
           std::to_string(x.slots) + ", " + std::to_string(x.count) + ")");
  }
  check_rows(operation, x.slots, references.rows, out_stride);
}

void check_count(const char* operation, std::int64_t slots, std::int64_t control_slots) {
  if (slots != control_slots) {
    reject(std::string(operation) + ": " + std::to_string(slots) +
           " slots, but its step control has " + std::to_string(control_slots));
  }
}

template <class View>
std::string vector_shape(const View& v) {
  return "(" + std::to_string(v.slots) + ", " + std::to_string(v.count) + ")";
}

/// `other` has the shape of `first`, and slots that are written do not overlap.
template <class A, class B>
void check_alike(const char* operation, const char* first_name, const A& first,
                 const char* other_name, const B& other) {
  if (first.slots != other.slots || first.count != other.count) {
    reject(std::string(operation) + ": " + first_name + " " + vector_shape(first) + " and " +
           other_name + " " + vector_shape(other) + " differ in shape");
  }
}
template <class View>
void check_separate(const char* operation, const char* name, const View& v) {
  if (v.slots > 1 && v.slot_stride < v.count) {
    reject(std::string(operation) + ": slots of " + name + " " + vector_shape(v) +
           " overlap: slot_stride " + std::to_string(v.slot_stride));
  }
}

/// Rows as long as a vector, in as many slots.
template <class A, class B>
void check_rows_of(const char* operation, const MatrixBatch<A>& x, const VectorBatch<B>& y) {
  check_layout(operation, "x", x);
  if (x.cols == y.count && x.slots == y.slots) return;
  reject(std::string(operation) + ": x " + shape(x) + " and y " + vector_shape(y) +
         " do not fit each other");
}

/// Every operand of a student and its teacher fits the others.
template <class T>
void check_teacher(const char* operation, const Students<T>& student, const Teachers<T>& teacher) {
  const auto fits = [&](const char* name, const auto& vector, std::int64_t count) {
    if (vector.count == count && (vector.slots == student.v.slots || vector.slot_stride == 0))
      return;
    reject(std::string(operation) + ": " + name + " " + vector_shape(vector) + " for v " +
           vector_shape(student.v) + " and a " + vector_shape(student.a));
  };
  if (student.v.slots != student.a.slots) fits("a", student.a, -1);
  fits("w*", teacher.w, student.v.count);
  fits("a*", teacher.a, student.a.count);
  if (teacher.sum == nullptr) reject(std::string(operation) + ": no sum of a*");
}

/// Images fit their window, and rows what is taken from it: `per_place` entries for each place.
template <class A, class B>
void check_window(const char* operation, const Window& w, const MatrixBatch<A>& images,
                  std::int64_t per_place, const MatrixBatch<B>& rows) {
  check_layout(operation, "images", images);
  check_layout(operation, "rows", rows);
  const auto pair = [](std::int64_t a, std::int64_t b) {
    return std::to_string(a) + "x" + std::to_string(b);
  };
  const bool positive = w.channels > 0 && w.kernel_height > 0 && w.kernel_width > 0 &&
                        w.stride_y > 0 && w.stride_x > 0 && w.padding_y >= 0 && w.padding_x >= 0;
  if (!positive || w.kernel_height > w.height + 2 * w.padding_y ||
      w.kernel_width > w.width + 2 * w.padding_x) {
    reject(std::string(operation) + ": a window of " + pair(w.kernel_height, w.kernel_width) +
           " with stride " + pair(w.stride_y, w.stride_x) + " does not fit " +
           pair(w.height, w.width) + " with padding " + pair(w.padding_y, w.padding_x));
  }
  if (images.cols != w.image_size() || rows.cols != w.places() * per_place ||
      images.rows != rows.rows || !slots_fit(images, rows.slots)) {
    reject(std::string(operation) + ": images " + shape(images) + " and rows " + shape(rows) +
           ", expected " + std::to_string(w.image_size()) + " and " +
           std::to_string(w.places() * per_place) + " columns");
  }
}

void check_unpadded(const char* operation, const Window& w) {
  if (w.padding_y == 0 && w.padding_x == 0) return;
  reject(std::string(operation) + ": a padding of " + std::to_string(w.padding_y) + "x" +
         std::to_string(w.padding_x) + ", expected none");
}

template <class A, class B>
void check_same_shape(const char* operation, const char* first_name, const MatrixBatch<A>& first,
                      const char* other_name, const MatrixBatch<B>& other) {
  check_layout(operation, first_name, first);
  check_layout(operation, other_name, other);
  if (first.slots == other.slots && first.rows == other.rows && first.cols == other.cols) return;
  reject(std::string(operation) + ": " + first_name + " " + shape(first) + " and " + other_name +
         " " + shape(other) + " differ in shape");
}

}  // namespace

template <class T>
void gemm(Executor& executor, const GemmArgs<T>& args) {
  check_layout("gemm", "A", args.a);
  check_layout("gemm", "B", args.b);
  check_layout("gemm", "C", args.c);
  check_own("gemm", "C", args.c);
  const bool ta = args.transpose_a == Transpose::yes;
  const bool tb = args.transpose_b == Transpose::yes;
  const std::int64_t m = ta ? args.a.cols : args.a.rows;
  const std::int64_t k = ta ? args.a.rows : args.a.cols;
  const std::int64_t kb = tb ? args.b.cols : args.b.rows;
  const std::int64_t n = tb ? args.b.rows : args.b.cols;
  if (k != kb || m != args.c.rows || n != args.c.cols) {
    reject(std::string("gemm: shapes do not multiply: A ") + shape(args.a) +
           (ta ? " transposed" : "") + " times B " + shape(args.b) + (tb ? " transposed" : "") +
           " into C " + shape(args.c));
  }
  if (!slots_fit(args.a, args.c.slots) || !slots_fit(args.b, args.c.slots)) {
    reject("gemm: numbers of slots differ: A " + shape(args.a) + ", B " + shape(args.b) + ", C " +
           shape(args.c));
  }
  if (args.finish != Finish::none && !args.c.dense()) reject("gemm: a finish wants a dense C");
  if (args.finish == Finish::rectified_slope) {
    check_layout("gemm", "state", args.state);
    if (args.state.rows != m || args.state.cols != n || args.state.slots != args.c.slots ||
        !args.state.dense()) {
      reject("gemm: state " + shape(args.state) + " and C " + shape(args.c) + " differ in shape");
    }
  }
  if (args.c.slots == 0 || args.c.size() == 0) return;
  carry_out<T>(executor, Operation::gemm, &TypedTable<T>::gemm, args);
}
template void gemm(Executor&, const GemmArgs<float>&);
template void gemm(Executor&, const GemmArgs<double>&);

template <class T>
void residual(Executor& executor, const ResidualArgs<T>& args) {
  check_layout("residual", "w", args.w);
  const auto fits = [&](const char* operand, const auto& m) {
    check_layout("residual", operand, m);
    if (m.rows != args.w.rows || m.cols != args.w.cols || !slots_fit(m, args.w.slots)) {
      reject("residual: w " + shape(args.w) + " and " + operand + " " + shape(m) +
             " differ in shape");
    }
  };
  fits("target", args.target);
  if (args.mask.data != nullptr) fits("mask", args.mask);
  if (args.residual.data != nullptr) {
    fits("residual", args.residual);
    check_own("residual", "residual", args.residual);
  }
  if (args.w.slots == 0) return;
  carry_out<T>(executor, Operation::residual, &TypedTable<T>::residual, args);
}
template void residual(Executor&, const ResidualArgs<float>&);
template void residual(Executor&, const ResidualArgs<double>&);

template <class T>
void sum_of_squares(Executor& executor, const SumOfSquaresArgs<T>& args) {
  if (args.x.slots < 0 || args.x.count < 0) reject("sum_of_squares: negative shape");
  if (args.x.slots == 0) return;
  carry_out<T>(executor, Operation::sum_of_squares, &TypedTable<T>::sum_of_squares, args);
}
template void sum_of_squares(Executor&, const SumOfSquaresArgs<float>&);
template void sum_of_squares(Executor&, const SumOfSquaresArgs<double>&);

template <class T>
void random_fill(Executor& executor, const RandomFillArgs<T>& args) {
  if (args.out.slots < 0 || args.out.count < 0) reject("random_fill: negative shape");
  if (args.out.slots > 1 && args.out.slot_stride < args.out.count) {
    reject("random_fill: slots overlap: " + std::to_string(args.out.count) +
           " elements, slot_stride " + std::to_string(args.out.slot_stride));
  }
  if (args.out.slots == 0 || args.out.count == 0) return;
  carry_out<T>(executor, Operation::random_fill, &TypedTable<T>::random_fill, args);
}
template void random_fill(Executor&, const RandomFillArgs<float>&);
template void random_fill(Executor&, const RandomFillArgs<double>&);

template <class T>
void singular_values(Executor& executor, const SingularValuesArgs<T>& args) {
  check_layout("singular_values", "a", args.a);
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  if (args.a.rows < 1 || args.a.cols < 1 || args.a.cols > most / args.a.rows) {
    reject("singular_values: a " + shape(args.a) + " must have 1 to " + std::to_string(most) +
           " entries");
  }
  const std::int64_t count = args.a.rows < args.a.cols ? args.a.rows : args.a.cols;
  if (args.values_count < 0) {
    reject("singular_values: " + std::to_string(args.values_count) + " values of a " +
           shape(args.a));
  }
  if (args.a.slots > 1 && args.values_stride < args.values_count) {
    reject("singular_values: slots of values overlap: " + std::to_string(args.values_count) +
           " values, values_stride " + std::to_string(args.values_stride));
  }
  if (args.left != nullptr) {
    check_rows("singular_values: left vectors", args.a.slots, args.a.rows, args.left_stride);
  }
  const auto check_vectors = [&](const char* name, const MatrixBatch<double>& m,
                                 std::int64_t rows) {
    if (m.data == nullptr) return;
    check_layout("singular_values", name, m);
    check_own("singular_values", name, m);
    if (m.rows != rows || m.cols != count || m.slots != args.a.slots) {
      reject(std::string("singular_values: ") + name + " " + shape(m) + " does not fit a " +
             shape(args.a));
    }
  };
  check_vectors("u", args.u, args.a.rows);
  check_vectors("v", args.v, args.a.cols);
  if (args.workspace == nullptr) reject("singular_values: no workspace");
  if (args.max_sweeps < 1) reject("singular_values: max_sweeps must be at least 1");
  const bool vectors = args.u.data != nullptr || args.v.data != nullptr;
  const std::int64_t work = singular_values_workspace(args.a.rows, args.a.cols, vectors);
  if (args.workspace_stride != 0 && args.workspace_stride < work) {
    reject("singular_values: slots of the workspace overlap: " + std::to_string(work) +
           " doubles, workspace_stride " + std::to_string(args.workspace_stride));
  }
  if (args.a.slots == 0 || (args.values_count == 0 && !vectors)) return;
  SingularValuesArgs<T> seen = args;
  // A CPU has scratch of its own: arenas need no room for one.
  if (executor.capture() != nullptr && executor.device().kind == "cpu") seen.workspace = nullptr;
  carry_out<T>(executor, Operation::singular_values, &TypedTable<T>::singular_values, seen);
}
template void singular_values(Executor&, const SingularValuesArgs<float>&);
template void singular_values(Executor&, const SingularValuesArgs<double>&);

template <class T>
void symmetric_eigenvalues(Executor& executor, const SymmetricEigenvaluesArgs<T>& args) {
  check_layout("symmetric_eigenvalues", "a", args.a);
  constexpr std::int64_t largest = 46'340;  // whose square is an int
  const std::int64_t n = args.a.rows;
  if (args.a.cols != n || n < 1 || n > largest) {
    reject("symmetric_eigenvalues: a " + shape(args.a) +
           " must be square, of 1 to 46340 rows and columns");
  }
  if (args.which == Eigenvalues::ends && (args.count < 1 || args.count > n / 2)) {
    reject("symmetric_eigenvalues: " + std::to_string(args.count) + " values at each end of a " +
           shape(args.a) + ", expected 1 to half the rows");
  }
  if (args.values == nullptr) reject("symmetric_eigenvalues: no values");
  check_rows("symmetric_eigenvalues", args.a.slots, eigenvalues_kept(args.which, n, args.count),
             args.values_stride);
  if (args.least_vector != nullptr) {
    check_rows("symmetric_eigenvalues: vectors", args.a.slots, n, args.least_vector_stride);
  }
  if (args.max_sweeps < 1) reject("symmetric_eigenvalues: max_sweeps must be at least 1");
  if (args.a.slots == 0) return;
  carry_out<T>(executor, Operation::symmetric_eigenvalues, &TypedTable<T>::symmetric_eigenvalues,
               args);
}
template void symmetric_eigenvalues(Executor&, const SymmetricEigenvaluesArgs<float>&);
template void symmetric_eigenvalues(Executor&, const SymmetricEigenvaluesArgs<double>&);

template <class T>
void inner_product(Executor& executor, const InnerProductArgs<T>& args) {
  if (args.x.slots < 0 || args.x.count < 0) reject("inner_product: negative shape");
  if (args.x.count != args.y.count || args.x.slots != args.y.slots) {
    reject("inner_product: x (" + std::to_string(args.x.slots) + ", " +
           std::to_string(args.x.count) + ") and y (" + std::to_string(args.y.slots) + ", " +
           std::to_string(args.y.count) + ") differ in shape");
  }
  if (args.x.slots == 0) return;
  carry_out<T>(executor, Operation::inner_product, &TypedTable<T>::inner_product, args);
}
template void inner_product(Executor&, const InnerProductArgs<float>&);
template void inner_product(Executor&, const InnerProductArgs<double>&);

template <class T>
void inner_products(Executor& executor, const InnerProductsArgs<T>& args) {
  check_rows_of("inner_products", args.x, args.y);
  check_rows("inner_products", args.x.slots, args.x.rows, args.out_stride);
  if (args.x.slots == 0 || args.x.rows == 0) return;
  carry_out<T>(executor, Operation::inner_products, &TypedTable<T>::inner_products, args);
}
template void inner_products(Executor&, const InnerProductsArgs<float>&);
template void inner_products(Executor&, const InnerProductsArgs<double>&);

template <class T>
void subtract_rows(Executor& executor, const SubtractRowsArgs<T>& args) {
  check_rows_of("subtract_rows", args.x, args.y);
  check_separate("subtract_rows", "y", args.y);
  check_rows("subtract_rows", args.x.slots, args.x.rows, args.c_stride);
  if (args.y.slots == 0 || args.y.count == 0) return;
  carry_out<T>(executor, Operation::subtract_rows, &TypedTable<T>::subtract_rows, args);
}
template void subtract_rows(Executor&, const SubtractRowsArgs<float>&);
template void subtract_rows(Executor&, const SubtractRowsArgs<double>&);

void lanczos_step(Executor& executor, const LanczosStepArgs& args) {
  if (args.steps < 1 || args.step < -1 || args.step >= args.steps) {
    reject("lanczos_step: step " + std::to_string(args.step) + " of " + std::to_string(args.steps));
  }
  if (args.slots == 0) return;
  carry_out(executor, Operation::lanczos_step, &KernelTables::lanczos_step, args);
}

void ritz_ends(Executor& executor, const RitzEndsArgs& args) {
  if (args.steps < 1) reject("ritz_ends: " + std::to_string(args.steps) + " steps, at least 1");
  check_rows("ritz_ends", args.slots, 4, args.out_stride);
  if (args.slots == 0) return;
  carry_out(executor, Operation::ritz_ends, &KernelTables::ritz_ends, args);
}

template <class T>
void add_scaled(Executor& executor, const AddScaledArgs<T>& args) {
  if (args.y.slots < 0 || args.y.count < 0) reject("add_scaled: negative shape");
  if (args.x.count != args.y.count || args.x.slots != args.y.slots) {
    reject("add_scaled: x (" + std::to_string(args.x.slots) + ", " + std::to_string(args.x.count) +
           ") and y (" + std::to_string(args.y.slots) + ", " + std::to_string(args.y.count) +
           ") differ in shape");
  }
  if (args.y.slots > 1 && args.y.slot_stride < args.y.count) {
    reject("add_scaled: slots of y overlap: " + std::to_string(args.y.count) +
           " elements, slot_stride " + std::to_string(args.y.slot_stride));
  }
  if (args.y.slots == 0 || args.y.count == 0) return;
  carry_out<T>(executor, Operation::add_scaled, &TypedTable<T>::add_scaled, args);
}
template void add_scaled(Executor&, const AddScaledArgs<float>&);
template void add_scaled(Executor&, const AddScaledArgs<double>&);

template <class T>
void drawn_residual(Executor& executor, const DrawnResidualArgs<T>& args) {
  check_layout("drawn_residual", "w", args.w);
  const auto fits = [&](const char* operand, const auto& m) {
    check_layout("drawn_residual", operand, m);
    if (m.rows != args.w.rows || m.cols != args.w.cols || !slots_fit(m, args.w.slots)) {
      reject("drawn_residual: w " + shape(args.w) + " and " + operand + " " + shape(m) +
             " differ in shape");
    }
  };
  fits("target", args.target);
  fits("residual", args.residual);
  check_own("drawn_residual", "residual", args.residual);
  if (args.count == nullptr) reject("drawn_residual: no number of terms");
  if (args.drawn != nullptr && args.batch < 1) {
    reject("drawn_residual: a batch of " + std::to_string(args.batch) + " terms");
  }
  if (args.noise != nullptr && (args.seeds == nullptr || args.step == nullptr)) {
    reject("drawn_residual: noise without seeds or steps");
  }
  if (args.w.slots == 0 || args.w.size() == 0) return;
  carry_out<T>(executor, Operation::drawn_residual, &TypedTable<T>::drawn_residual, args);
}
template void drawn_residual(Executor&, const DrawnResidualArgs<float>&);
template void drawn_residual(Executor&, const DrawnResidualArgs<double>&);

void check_stop(Executor& executor, const StepControl& control) {
  carry_out(executor, Operation::check_stop, &KernelTables::check_stop, control);
}

void constant_step(Executor& executor, const ConstantStepArgs& args) {
  carry_out(executor, Operation::constant_step, &KernelTables::constant_step, args);
}

void rms_step(Executor& executor, const RmsStepArgs& args) {
  carry_out(executor, Operation::rms_step, &KernelTables::rms_step, args);
}

template <class T>
void descend(Executor& executor, const DescendArgs<T>& args) {
  check_count("descend", args.params.slots, args.control.slots);
  if (args.params.slots != args.grad.slots || args.params.count != args.grad.count) {
    reject("descend: params (" + std::to_string(args.params.slots) + ", " +
           std::to_string(args.params.count) + ") and grad (" + std::to_string(args.grad.slots) +
           ", " + std::to_string(args.grad.count) + ") differ in shape");
  }
  if (args.params.slots == 0 || args.params.count == 0) return;
  carry_out<T>(executor, Operation::descend, &TypedTable<T>::descend, args);
}
template void descend(Executor&, const DescendArgs<float>&);
template void descend(Executor&, const DescendArgs<double>&);

template <class T>
void heavy_ball(Executor& executor, const HeavyBallArgs<T>& args) {
  check_count("heavy_ball", args.params.slots, args.control.slots);
  check_alike("heavy_ball", "params", args.params, "grad", args.grad);
  check_alike("heavy_ball", "params", args.params, "velocity", args.velocity);
  check_separate("heavy_ball", "params", args.params);
  check_separate("heavy_ball", "velocity", args.velocity);
  if (args.params.slots == 0 || args.params.count == 0) return;
  carry_out<T>(executor, Operation::heavy_ball, &TypedTable<T>::heavy_ball, args);
}
template void heavy_ball(Executor&, const HeavyBallArgs<float>&);
template void heavy_ball(Executor&, const HeavyBallArgs<double>&);

void adam_step(Executor& executor, const AdamStepArgs& args) {
  carry_out(executor, Operation::adam_step, &KernelTables::adam_step, args);
}

template <class T>
void adam(Executor& executor, const AdamArgs<T>& args) {
  check_count("adam", args.params.slots, args.control.slots);
  check_alike("adam", "params", args.params, "grad", args.grad);
  check_alike("adam", "params", args.params, "m", args.m);
  check_alike("adam", "params", args.params, "v", args.v);
  check_separate("adam", "params", args.params);
  check_separate("adam", "m", args.m);
  check_separate("adam", "v", args.v);
  if (args.params.slots == 0 || args.params.count == 0) return;
  carry_out<T>(executor, Operation::adam, &TypedTable<T>::adam, args);
}
template void adam(Executor&, const AdamArgs<float>&);
template void adam(Executor&, const AdamArgs<double>&);

template <class T>
void sign_descend(Executor& executor, const DescendArgs<T>& args) {
  check_count("sign_descend", args.params.slots, args.control.slots);
  check_alike("sign_descend", "params", args.params, "grad", args.grad);
  check_separate("sign_descend", "params", args.params);
  if (args.params.slots == 0 || args.params.count == 0) return;
  carry_out<T>(executor, Operation::sign_descend, &TypedTable<T>::sign_descend, args);
}
template void sign_descend(Executor&, const DescendArgs<float>&);
template void sign_descend(Executor&, const DescendArgs<double>&);

template <class T>
void linear_combination(Executor& executor, const LinearCombinationArgs<T>& args) {
  check_count("linear_combination", args.x.slots, args.control.slots);
  check_alike("linear_combination", "x", args.x, "y", args.y);
  check_separate("linear_combination", "x", args.x);
  if (args.x.slots == 0 || args.x.count == 0) return;
  carry_out<T>(executor, Operation::linear_combination, &TypedTable<T>::linear_combination, args);
}
template void linear_combination(Executor&, const LinearCombinationArgs<float>&);
template void linear_combination(Executor&, const LinearCombinationArgs<double>&);

void draw_terms(Executor& executor, const DrawTermsArgs& args) {
  if (args.batch < 1) {
    reject("draw_terms: a batch of " + std::to_string(args.batch) + " terms, expected at least 1");
  }
  if (args.control.slots == 0) return;
  carry_out(executor, Operation::draw_terms, &KernelTables::draw_terms, args);
}

template <class T>
void diffuse(Executor& executor, const DiffuseArgs<T>& args) {
  check_count("diffuse", args.params.slots, args.control.slots);
  check_separate("diffuse", "params", args.params);
  if (args.params.slots == 0 || args.params.count == 0) return;
  carry_out<T>(executor, Operation::diffuse, &TypedTable<T>::diffuse, args);
}
template void diffuse(Executor&, const DiffuseArgs<float>&);
template void diffuse(Executor&, const DiffuseArgs<double>&);

template <class T>
void perturb(Executor& executor, const PerturbArgs<T>& args) {
  check_count("perturb", args.params.slots, args.control.slots);
  check_separate("perturb", "params", args.params);
  if (args.params.slots == 0 || args.params.count == 0) return;
  carry_out<T>(executor, Operation::perturb, &TypedTable<T>::perturb, args);
}
template void perturb(Executor&, const PerturbArgs<float>&);
template void perturb(Executor&, const PerturbArgs<double>&);

void follow_schedule(Executor& executor, const FollowScheduleArgs& args) {
  if (args.slots == 0) return;
  carry_out(executor, Operation::follow_schedule, &KernelTables::follow_schedule, args);
}

void advance(Executor& executor, const StepControl& control) {
  carry_out(executor, Operation::advance, &KernelTables::advance, control);
}

void running_extreme(Executor& executor, const ExtremeArgs& args) {
  if (args.slots > 1 && args.extremes_stride < args.count) {
    reject("running_extreme: slots overlap: " + std::to_string(args.count) +
           " extremes, extremes_stride " + std::to_string(args.extremes_stride));
  }
  carry_out(executor, Operation::running_extreme, &KernelTables::running_extreme, args);
}

void first_crossing(Executor& executor, const CrossingArgs& args) {
  if (args.slots > 1 && args.first_stride < args.count) {
    reject("first_crossing: slots overlap: " + std::to_string(args.count) +
           " steps, first_stride " + std::to_string(args.first_stride));
  }
  carry_out(executor, Operation::first_crossing, &KernelTables::first_crossing, args);
}

void combine(Executor& executor, const CombineArgs& args) {
  carry_out(executor, Operation::combine, &KernelTables::combine, args);
}

void accumulate(Executor& executor, const AccumulateArgs& args) {
  carry_out(executor, Operation::accumulate, &KernelTables::accumulate, args);
}

void spectrum(Executor& executor, const SpectrumArgs& args) {
  if (args.slots < 0 || args.count < 0) reject("spectrum: negative shape");
  carry_out(executor, Operation::spectrum, &KernelTables::spectrum, args);
}

void reduce(Executor& executor, const ReduceArgs& args) {
  if (args.count < 1) reject("reduce: " + std::to_string(args.count) + " values, at least 1");
  carry_out(executor, Operation::reduce, &KernelTables::reduce, args);
}

template <class T>
void neuron_terms(Executor& executor, const NeuronTermsArgs<T>& args) {
  check_layout("neuron_terms", "a", args.a);
  check_layout("neuron_terms", "b", args.b);
  const bool same_length = args.term == NeuronTerm::norm2_difference || args.a.cols == args.b.rows;
  if (args.a.rows != args.b.cols || !same_length || !slots_fit(args.b, args.a.slots)) {
    reject("neuron_terms: rows of a " + shape(args.a) + " do not fit columns of b " +
           shape(args.b));
  }
  check_rows("neuron_terms", args.a.slots, args.a.rows, args.out_stride);
  if (args.a.slots == 0) return;
  carry_out<T>(executor, Operation::neuron_terms, &TypedTable<T>::neuron_terms, args);
}
template void neuron_terms(Executor&, const NeuronTermsArgs<float>&);
template void neuron_terms(Executor&, const NeuronTermsArgs<double>&);

template <class T>
void reference_distances(Executor& executor, const ReferenceDistancesArgs<T>& args) {
  check_references("reference_distances", args.x, args.references, args.out_stride);
  if (args.x.slots == 0) return;
  carry_out<T>(executor, Operation::reference_distances, &TypedTable<T>::reference_distances, args);
}
template void reference_distances(Executor&, const ReferenceDistancesArgs<float>&);
template void reference_distances(Executor&, const ReferenceDistancesArgs<double>&);

void reference_alignments(Executor& executor, const ReferenceAlignmentsArgs& args) {
  check_references("reference_alignments", args.x, args.references, args.out_stride);
  if (args.x.slots == 0) return;
  carry_out(executor, Operation::reference_alignments, &KernelTables::reference_alignments, args);
}

template <class T>
void widen(Executor& executor, const WidenArgs<T>& args) {
  if (args.x.slots < 0 || args.x.count < 0) reject("widen: negative shape");
  check_rows("widen", args.x.slots, args.x.count, args.out_stride);
  if (args.x.slots == 0) return;
  carry_out<T>(executor, Operation::widen, &TypedTable<T>::widen, args);
}
template void widen(Executor&, const WidenArgs<float>&);
template void widen(Executor&, const WidenArgs<double>&);

template <class T>
void teacher_gradient(Executor& executor, const TeacherGradientArgs<T>& args) {
  check_teacher("teacher_gradient", args.student, args.teacher);
  check_alike("teacher_gradient", "v", args.student.v, "grad_v", args.grad_v);
  check_alike("teacher_gradient", "a", args.student.a, "grad_a", args.grad_a);
  check_separate("teacher_gradient", "grad_v", args.grad_v);
  check_separate("teacher_gradient", "grad_a", args.grad_a);
  if (args.student.v.slots == 0) return;
  carry_out<T>(executor, Operation::teacher_gradient, &TypedTable<T>::teacher_gradient, args);
}
template void teacher_gradient(Executor&, const TeacherGradientArgs<float>&);
template void teacher_gradient(Executor&, const TeacherGradientArgs<double>&);

template <class T>
void teacher_distance(Executor& executor, const TeacherDistanceArgs<T>& args) {
  check_teacher("teacher_distance", args.student, args.teacher);
  check_rows("teacher_distance", args.student.v.slots, 1, args.out_stride);
  if (args.student.v.slots == 0) return;
  carry_out<T>(executor, Operation::teacher_distance, &TypedTable<T>::teacher_distance, args);
}
template void teacher_distance(Executor&, const TeacherDistanceArgs<float>&);
template void teacher_distance(Executor&, const TeacherDistanceArgs<double>&);

template <class T>
void teacher_check(Executor& executor, const TeacherCheckArgs<T>& args) {
  check_teacher("teacher_check", args.student, args.teacher);
  check_count("teacher_check", args.student.v.slots, args.control.slots);
  if (args.student.v.slots == 0) return;
  carry_out<T>(executor, Operation::teacher_check, &TypedTable<T>::teacher_check, args);
}
template void teacher_check(Executor&, const TeacherCheckArgs<float>&);
template void teacher_check(Executor&, const TeacherCheckArgs<double>&);

template <class T>
void activate(Executor& executor, const ActivateArgs<T>& args) {
  check_alike("activate", "z", args.z, "y", args.y);
  check_separate("activate", "y", args.y);
  if (args.y.slots == 0 || args.y.count == 0) return;
  carry_out<T>(executor, Operation::activate, &TypedTable<T>::activate, args);
}
template void activate(Executor&, const ActivateArgs<float>&);
template void activate(Executor&, const ActivateArgs<double>&);

template <class T>
void activation_slope(Executor& executor, const ActivationSlopeArgs<T>& args) {
  check_alike("activation_slope", "state", args.state, "dz", args.dz);
  check_alike("activation_slope", "dy", args.dy, "dz", args.dz);
  check_separate("activation_slope", "dz", args.dz);
  if (args.dz.slots == 0 || args.dz.count == 0) return;
  carry_out<T>(executor, Operation::activation_slope, &TypedTable<T>::activation_slope, args);
}
template void activation_slope(Executor&, const ActivationSlopeArgs<float>&);
template void activation_slope(Executor&, const ActivationSlopeArgs<double>&);

template <class T>
void activation_curvature(Executor& executor, const ActivationCurvatureArgs<T>& args) {
  check_alike("activation_curvature", "state", args.state, "dz", args.dz);
  check_alike("activation_curvature", "tangent", args.tangent, "dz", args.dz);
  check_alike("activation_curvature", "dy", args.dy, "dz", args.dz);
  check_separate("activation_curvature", "dz", args.dz);
  if (!is_curved(args.kind) || args.dz.slots == 0 || args.dz.count == 0) return;
  carry_out<T>(executor, Operation::activation_curvature, &TypedTable<T>::activation_curvature,
               args);
}
template void activation_curvature(Executor&, const ActivationCurvatureArgs<float>&);
template void activation_curvature(Executor&, const ActivationCurvatureArgs<double>&);

template <class T>
void example_terms(Executor& executor, const ExampleTermsArgs<T>& args) {
  check_layout("example_terms", "f", args.f);
  const bool has_targets = args.targets.data != nullptr;
  const bool has_labels = args.labels.data != nullptr;
  if (has_targets) {
    check_layout("example_terms", "targets", args.targets);
    if (args.targets.cols != args.f.cols || !slots_fit(args.targets, args.f.slots)) {
      reject("example_terms: targets " + shape(args.targets) + " for outputs " + shape(args.f));
    }
  }
  const bool is_loss = args.term == ExampleTerm::loss;
  if (is_loss && args.loss == Loss::squared && !has_targets) {
    reject("example_terms: the squared loss without targets");
  }
  if (is_loss && args.loss == Loss::cross_entropy && !has_labels) {
    reject("example_terms: the cross-entropy without labels");
  }
  if (is_loss && args.loss == Loss::logistic && args.f.cols != 1) {
    reject("example_terms: the logistic loss of outputs " + shape(args.f) + ", expected one");
  }
  if (!has_targets && !has_labels) reject("example_terms: neither targets nor labels");
  if (args.noise != nullptr && (args.seeds == nullptr || args.step == nullptr || !has_targets)) {
    reject("example_terms: noise without seeds, steps or targets");
  }
  if (args.out != nullptr) {
    check_rows("example_terms", args.f.slots, args.f.rows, args.out_stride);
  }
  if (args.slope.data != nullptr) {
    check_layout("example_terms", "slope", args.slope);
    check_own("example_terms", "slope", args.slope);
    if (args.slope.rows != args.f.rows || args.slope.cols != args.f.cols ||
        args.slope.slots != args.f.slots) {
      reject("example_terms: slope " + shape(args.slope) + " for outputs " + shape(args.f));
    }
  }
  if (args.f.slots == 0 || args.f.size() == 0) return;
  carry_out<T>(executor, Operation::example_terms, &TypedTable<T>::example_terms, args);
}
template void example_terms(Executor&, const ExampleTermsArgs<float>&);
template void example_terms(Executor&, const ExampleTermsArgs<double>&);

template <class T>
void example_curvature(Executor& executor, const ExampleCurvatureArgs<T>& args) {
  check_same_shape("example_curvature", "f", args.f, "tangent", args.tangent);
  check_same_shape("example_curvature", "f", args.f, "slope", args.slope);
  check_own("example_curvature", "slope", args.slope);
  if (args.loss == Loss::logistic && args.f.cols != 1) {
    reject("example_curvature: the logistic loss of outputs " + shape(args.f) + ", expected one");
  }
  if (args.f.slots == 0 || args.f.size() == 0) return;
  carry_out<T>(executor, Operation::example_curvature, &TypedTable<T>::example_curvature, args);
}
template void example_curvature(Executor&, const ExampleCurvatureArgs<float>&);
template void example_curvature(Executor&, const ExampleCurvatureArgs<double>&);

template <class T>
void gather_rows(Executor& executor, const GatherRowsArgs<T>& args) {
  check_layout("gather_rows", "x", args.x);
  check_layout("gather_rows", "out", args.out);
  check_own("gather_rows", "out", args.out);
  if (args.rows == nullptr) reject("gather_rows: no rows");
  if (args.x.cols != args.out.cols || !slots_fit(args.x, args.out.slots)) {
    reject("gather_rows: x " + shape(args.x) + " for out " + shape(args.out));
  }
  if (args.out.slots == 0 || args.out.size() == 0) return;
  carry_out<T>(executor, Operation::gather_rows, &TypedTable<T>::gather_rows, args);
}
template void gather_rows(Executor&, const GatherRowsArgs<float>&);
template void gather_rows(Executor&, const GatherRowsArgs<double>&);

template <class T>
void unfold(Executor& executor, const UnfoldArgs<T>& args) {
  check_window("unfold", args.window, args.images, args.window.patch_size(), args.patches);
  check_own("unfold", "patches", args.patches);
  if (args.patches.slots == 0 || args.patches.size() == 0) return;
  carry_out<T>(executor, Operation::unfold, &TypedTable<T>::unfold, args);
}
template void unfold(Executor&, const UnfoldArgs<float>&);
template void unfold(Executor&, const UnfoldArgs<double>&);

template <class T>
void fold(Executor& executor, const FoldArgs<T>& args) {
  check_window("fold", args.window, args.images, args.window.patch_size(), args.patches);
  check_own("fold", "images", args.images);
  if (args.images.slots == 0 || args.images.size() == 0) return;
  carry_out<T>(executor, Operation::fold, &TypedTable<T>::fold, args);
}
template void fold(Executor&, const FoldArgs<float>&);
template void fold(Executor&, const FoldArgs<double>&);

template <class T>
void average_pool(Executor& executor, const AveragePoolArgs<T>& args) {
  check_window("average_pool", args.window, args.images, args.window.channels, args.means);
  check_unpadded("average_pool", args.window);
  check_own("average_pool", "means", args.means);
  if (args.means.slots == 0 || args.means.size() == 0) return;
  carry_out<T>(executor, Operation::average_pool, &TypedTable<T>::average_pool, args);
}
template void average_pool(Executor&, const AveragePoolArgs<float>&);
template void average_pool(Executor&, const AveragePoolArgs<double>&);

template <class T>
void spread_means(Executor& executor, const SpreadMeansArgs<T>& args) {
  check_window("spread_means", args.window, args.images, args.window.channels, args.means);
  check_unpadded("spread_means", args.window);
  check_own("spread_means", "images", args.images);
  if (args.images.slots == 0 || args.images.size() == 0) return;
  carry_out<T>(executor, Operation::spread_means, &TypedTable<T>::spread_means, args);
}
template void spread_means(Executor&, const SpreadMeansArgs<float>&);
template void spread_means(Executor&, const SpreadMeansArgs<double>&);

template <class T>
void spread_weights(Executor& executor, const SpreadWeightsArgs<T>& args) {
  check_layout("spread_weights", "w", args.w);
  check_own("spread_weights", "w", args.w);
  if (args.numbers == nullptr) reject("spread_weights: no numbers");
  if (args.v.slots != args.w.slots && args.v.slot_stride != 0) {
    reject("spread_weights: v " + vector_shape(args.v) + " for w " + shape(args.w));
  }
  if (args.w.slots == 0 || args.w.size() == 0) return;
  carry_out<T>(executor, Operation::spread_weights, &TypedTable<T>::spread_weights, args);
}
template void spread_weights(Executor&, const SpreadWeightsArgs<float>&);
template void spread_weights(Executor&, const SpreadWeightsArgs<double>&);

template <class T>
void collect_weights(Executor& executor, const CollectWeightsArgs<T>& args) {
  check_layout("collect_weights", "w", args.w);
  check_separate("collect_weights", "v", args.v);
  if (args.begins == nullptr || args.places == nullptr) reject("collect_weights: no places");
  if (!slots_fit(args.w, args.v.slots)) {
    reject("collect_weights: w " + shape(args.w) + " for v " + vector_shape(args.v));
  }
  if (args.v.slots == 0 || args.v.count == 0) return;
  carry_out<T>(executor, Operation::collect_weights, &TypedTable<T>::collect_weights, args);
}
template void collect_weights(Executor&, const CollectWeightsArgs<float>&);
template void collect_weights(Executor&, const CollectWeightsArgs<double>&);

template <class T>
void sign_patterns(Executor& executor, const SignPatternsArgs<T>& args) {
  check_same_shape("sign_patterns", "x", args.x, "pattern", args.pattern);
  check_own("sign_patterns", "pattern", args.pattern);
  if (args.x.slots == 0 || args.x.size() == 0) return;
  carry_out<T>(executor, Operation::sign_patterns, &TypedTable<T>::sign_patterns, args);
}
template void sign_patterns(Executor&, const SignPatternsArgs<float>&);
template void sign_patterns(Executor&, const SignPatternsArgs<double>&);

template <class T>
void changed_signs(Executor& executor, const ChangedSignsArgs<T>& args) {
  check_same_shape("changed_signs", "x", args.x, "pattern", args.pattern);
  check_rows("changed_signs", args.x.slots, args.x.rows, args.out_stride);
  if (args.x.slots == 0 || args.x.rows == 0) return;
  carry_out<T>(executor, Operation::changed_signs, &TypedTable<T>::changed_signs, args);
}
template void changed_signs(Executor&, const ChangedSignsArgs<float>&);
template void changed_signs(Executor&, const ChangedSignsArgs<double>&);

template <class T>
void pattern_bits(Executor& executor, const PatternBitsArgs<T>& args) {
  check_layout("pattern_bits", "x", args.x);
  check_layout("pattern_bits", "bits", args.bits);
  check_own("pattern_bits", "bits", args.bits);
  if (args.bits.rows != args.x.rows || args.bits.cols != pattern_words(args.x.cols) ||
      !slots_fit(args.x, args.bits.slots)) {
    reject("pattern_bits: bits " + shape(args.bits) + " of x " + shape(args.x));
  }
  if (args.bits.slots == 0 || args.bits.size() == 0) return;
  carry_out<T>(executor, Operation::pattern_bits, &TypedTable<T>::pattern_bits, args);
}
template void pattern_bits(Executor&, const PatternBitsArgs<float>&);
template void pattern_bits(Executor&, const PatternBitsArgs<double>&);

void pattern_products(Executor& executor, const PatternProductsArgs& args) {
  check_layout("pattern_products", "bits", args.bits);
  check_layout("pattern_products", "counts", args.counts);
  check_own("pattern_products", "counts", args.counts);
  if (args.counts.rows != args.bits.rows || args.counts.cols != args.bits.rows ||
      !slots_fit(args.bits, args.counts.slots)) {
    reject("pattern_products: counts " + shape(args.counts) + " of bits " + shape(args.bits));
  }
  if (args.counts.slots == 0 || args.counts.size() == 0) return;
  carry_out(executor, Operation::pattern_products, &KernelTables::pattern_products, args);
}

void example_products(Executor& executor, const ExampleProductsArgs& args) {
  check_layout("example_products", "a", args.a);
  check_layout("example_products", "b", args.b);
  check_layout("example_products", "c", args.c);
  check_own("example_products", "c", args.c);
  const bool fit = args.a.rows == args.c.rows * args.places &&
                   args.b.rows == args.c.rows * args.places &&
                   args.c.cols == args.a.cols * args.b.cols && slots_fit(args.a, args.c.slots) &&
                   slots_fit(args.b, args.c.slots);
  if (args.places < 1 || !fit || !args.a.dense() || !args.b.dense() || !args.c.dense()) {
    reject("example_products: c " + shape(args.c) + " of a " + shape(args.a) + " and b " +
           shape(args.b) + " with " + std::to_string(args.places) + " places, all dense");
  }
  if (args.c.slots == 0 || args.c.size() == 0) return;
  carry_out(executor, Operation::example_products, &KernelTables::example_products, args);
}

void gram_block(Executor& executor, const GramBlockArgs& args) {
  check_layout("gram_block", "y", args.y);
  check_layout("gram_block", "gram", args.gram);
  check_own("gram_block", "gram", args.gram);
  const auto fits = [&](const MatrixBatch<const double>& m) {
    return m.rows == args.gram.rows * args.places && m.cols == args.gram.cols * args.places &&
           slots_fit(m, args.gram.slots);
  };
  if (args.places < 1 || !fits(args.y) || (args.x.data != nullptr && !fits(args.x))) {
    reject("gram_block: gram " + shape(args.gram) + " of x " + shape(args.x) + " and y " +
           shape(args.y) + " with " + std::to_string(args.places) + " places");
  }
  if (args.mirror.data != nullptr) {
    check_layout("gram_block", "mirror", args.mirror);
    check_own("gram_block", "mirror", args.mirror);
    if (args.mirror.slots != args.gram.slots || args.mirror.rows != args.gram.cols ||
        args.mirror.cols != args.gram.rows) {
      reject("gram_block: mirror " + shape(args.mirror) + " of gram " + shape(args.gram));
    }
  }
  if (args.gram.slots == 0 || args.gram.size() == 0) return;
  carry_out(executor, Operation::gram_block, &KernelTables::gram_block, args);
}

template <class T>
void gram_products(Executor& executor, const GramProductsArgs<T>& args) {
  check_layout("gram_products", "b", args.b);
  check_layout("gram_products", "gram", args.gram);
  check_own("gram_products", "gram", args.gram);
  const auto fits = [&](const auto& m) {
    return m.rows == args.gram.rows && slots_fit(m, args.gram.slots);
  };
  const auto square = [&](const MatrixBatch<T>& m) {
    return m.slots == args.gram.slots && m.rows == args.gram.rows && m.cols == args.gram.rows;
  };
  const bool weighed = args.a.data != nullptr;
  if (weighed) check_layout("gram_products", "a", args.a);
  if (args.gram.cols != args.gram.rows || !fits(args.b) || (weighed && !fits(args.a))) {
    reject("gram_products: gram " + shape(args.gram) + " of a " + shape(args.a) + " and b " +
           shape(args.b));
  }
  if (!square(args.y) || (weighed && !square(args.x))) {
    reject("gram_products: gram " + shape(args.gram) + " by way of x " + shape(args.x) + " and y " +
           shape(args.y));
  }
  check_layout("gram_products", "y", args.y);
  check_own("gram_products", "y", args.y);
  if (weighed) {
    check_layout("gram_products", "x", args.x);
    check_own("gram_products", "x", args.x);
  }
  if (args.gram.slots == 0 || args.gram.size() == 0) return;
  carry_out<T>(executor, Operation::gram_products, &TypedTable<T>::gram_products, args);
}
template void gram_products(Executor&, const GramProductsArgs<float>&);
template void gram_products(Executor&, const GramProductsArgs<double>&);

void scalar_orbits(Executor& executor, const ScalarOrbitsArgs& args) {
  if (args.members < 0) reject("scalar_orbits: " + std::to_string(args.members) + " members");
  if (args.dimension < 1 || args.dimension > 4) {
    reject("scalar_orbits: dimension " + std::to_string(args.dimension) + ", expected 1 to 4");
  }
  if (args.check_every < 1 || args.max_steps < 1 || args.max_steps % args.check_every != 0) {
    reject("scalar_orbits: max_steps " + std::to_string(args.max_steps) +
           ", expected a multiple of check_every " + std::to_string(args.check_every));
  }
  if (args.members == 0) return;
  carry_out(executor, Operation::scalar_orbits, &KernelTables::scalar_orbits, args);
}

void advance_resident(Executor& executor, const ResidentArgs& args) {
  if (args.program == nullptr || args.count < 0) reject("advance_resident: no program");
  if (args.count == 0) return;
  carry_out(executor, Operation::advance_resident, &KernelTables::advance_resident, args);
}

}  // namespace manyfold::kernels
