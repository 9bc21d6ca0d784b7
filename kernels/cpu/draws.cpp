// Perturbations on the CPU; the other draws are element bodies (elements.cpp).
#include "kernels/draws.hpp"

#include <cstdint>

#include "kernels/cpu/for_each.hpp"
#include "kernels/cpu/operations.hpp"
#include "kernels/cpu/perturb.hpp"

namespace manyfold::kernels::cpu {

template <class T>
void perturb(Executor& executor, const PerturbArgs<T>& args) {
  cpu(executor).for_slots(args.control.slots, [args](SlotRange range) {
    for (std::int64_t slot = range.begin; slot < range.end; ++slot) {
      perturb_slot(args, slot, args.params.slot(slot), 1);
    }
  });
}
template void perturb(Executor&, const PerturbArgs<float>&);
template void perturb(Executor&, const PerturbArgs<double>&);

}  // namespace manyfold::kernels::cpu
